//! Which connections are served. When there are too many, a few more are, so that `/healthz` answers and others are told.

use std::{net::IpAddr, sync::Arc};

use http::HeaderMap;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address;
use crate::{
    access,
    config::Config,
    counts::{Counts, Taken},
};

/// Connections beyond the limits that are answered.
const SPARE: usize = 64;
/// Of these, so many of one address.
const SPARE_OF_ADDRESS: usize = 2;
/// Files, and connections to databases, that the process opens beside connections of clients.
const OTHER_FILES: u64 = 256;

/// The connections of a server.
pub struct Connections {
    all: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    of_address: Counts<IpAddr>,
    spare_of_address: Counts<IpAddr>,
    /// Requests that proxies have passed on, by the address of the client.
    passed_on: Counts<IpAddr>,
    most_of_address: usize,
    proxies: Vec<IpNet>,
}

/// A connection that is open, or a request that is answered, until this is dropped.
pub struct Admitted {
    _permit: OwnedSemaphorePermit,
    _of_address: Taken<IpAddr>,
    /// Whether it is one too many.
    pub is_spare: bool,
    /// Whether it belongs to a trusted proxy.
    pub is_proxy: bool,
}

impl Connections {
    /// No connections, of at most as many as `config` and the limit of open files allow.
    pub fn new(config: &Config) -> Self {
        let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
        let room = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        let most = config.limits.connections;
        if room < most {
            tracing::warn!(
                connections = room,
                "the limit of open files leaves room for fewer connections than LIMIT_CONNECTIONS"
            );
        }
        let proxies = config.trusted_proxies.0.clone();
        Self::of(most.min(room), config.limits.connections_address, proxies)
    }

    fn of(most: usize, most_of_address: usize, proxies: Vec<IpNet>) -> Self {
        Self {
            all: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            spare: Arc::new(Semaphore::new(SPARE)),
            of_address: Counts::default(),
            spare_of_address: Counts::default(),
            passed_on: Counts::default(),
            most_of_address,
            proxies,
        }
    }

    /// Admits a connection of `peer`, unless there are far too many.
    pub fn admit(&self, peer: IpAddr) -> Option<Admitted> {
        let peer = peer.to_canonical();
        let is_proxy = self.proxies.iter().any(|network| network.contains(&peer));
        let address = access::neighbourhood(peer);
        let most = match is_proxy {
            true => usize::MAX,
            false => self.most_of_address,
        };
        let admit = |permits: &Arc<Semaphore>, of_address: Option<Taken<IpAddr>>, is_spare| {
            Some(Admitted {
                _of_address: of_address?,
                _permit: Arc::clone(permits).try_acquire_owned().ok()?,
                is_spare,
                is_proxy,
            })
        };
        admit(&self.all, self.of_address.take(address, most), false).or_else(|| {
            let spare = self.spare_of_address.take(address, SPARE_OF_ADDRESS);
            admit(&self.spare, spare, true)
        })
    }

    /// Admits a request that a trusted proxy passes on, by the address of its client.
    pub fn admit_passed_on(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Taken<IpAddr>> {
        let client = address::of_client(peer, headers, &self.proxies);
        let client = access::neighbourhood(client);
        self.passed_on.take(client, self.most_of_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn an_address_has_so_many_connections_two_more_and_then_none() {
        let connections = Connections::of(100, 3, Vec::new());
        let admitted: Vec<_> = (0..3)
            .map(|_| connections.admit(host(1)).unwrap())
            .collect();
        assert!(admitted.iter().all(|one| !one.is_spare));
        let spare: Vec<_> = (0..2)
            .map(|_| connections.admit(host(1)).unwrap())
            .collect();
        assert!(spare.iter().all(|one| one.is_spare));
        assert!(connections.admit(host(1)).is_none());
        assert!(!connections.admit(host(2)).unwrap().is_spare);

        drop(admitted);
        assert!(!connections.admit(host(1)).unwrap().is_spare);
    }

    #[test]
    fn when_all_are_taken_each_address_has_two_spare_ones_as_long_as_there_are_any() {
        let connections = Connections::of(1, 100, Vec::new());
        let _one = connections.admit(host(1)).unwrap();
        let spare: Vec<_> = (2..=200)
            .flat_map(|n| [host(n); 3])
            .filter_map(|address| connections.admit(address))
            .collect();

        assert_eq!(spare.len(), SPARE);
        assert!(spare.iter().all(|one| one.is_spare));
        assert!(connections.all.available_permits() == 0);
        drop(spare);
        assert!(connections.admit(host(1)).unwrap().is_spare);
    }

    #[test]
    fn a_proxy_has_any_number_and_its_clients_so_many_requests_at_once() {
        let connections = Connections::of(100, 2, vec!["192.0.2.0/24".parse().unwrap()]);
        let admitted: Vec<_> = (0..10).filter_map(|_| connections.admit(host(1))).collect();
        assert!(admitted.len() == 10 && admitted.iter().all(|one| one.is_proxy && !one.is_spare));
        let of = |client: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", client.parse().unwrap());
            connections.admit_passed_on(host(1), &headers)
        };

        let (one, two) = (of("203.0.113.1"), of("203.0.113.1"));
        assert!(one.is_some() && two.is_some());
        assert!(of("203.0.113.1").is_none());
        assert!(of("203.0.113.2").is_some());
    }
}
