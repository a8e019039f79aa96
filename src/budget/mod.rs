//! How much memory unread responses, and requests that come, wait or run, may hold: for each connection, each address and
//! the whole server.
//!
//! A response reserves its bytes while it is built, so that the budget also bounds what is built at the same time. It
//! holds them until they are handed to the operating system.

mod turns;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;

use self::turns::Turns;
use crate::{
    config::Limits,
    error::{Error, Result},
};

pub use self::turns::{Turn, Turning};

/// Responses reserve bytes in portions of this size. The first portion is free, since small responses need no budget.
const PORTION: usize = 64 << 10;

/// No more bytes than this are not counted.
pub const FEW: usize = 16 << 10;

/// The budget of one server. Cheap to clone.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    limit: usize,
    limit_address: usize,
    limit_connection: usize,
    /// Objects that what runs for one address may ask for together.
    limit_objects: u64,
    held: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, Weak<Address>>>,
}

/// What the connections of one address hold. Removed with the last of them.
struct Address {
    budget: Budget,
    key: IpAddr,
    held: AtomicUsize,
    turns: Turns,
}

/// The account of one connection. Cheap to clone.
#[derive(Clone)]
pub struct Account(Arc<Connection>);

struct Connection {
    address: Arc<Address>,
    held: AtomicUsize,
}

/// Bytes that are held until this is dropped.
pub struct Held {
    account: Account,
    bytes: usize,
}

impl Budget {
    /// A budget of which nothing is used yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self::of(
            limits.unread,
            limits.unread_address,
            limits.unread_connection,
            limits.complexity_address,
        )
    }

    fn of(limit: usize, limit_address: usize, limit_connection: usize, limit_objects: u64) -> Self {
        Self(Arc::new(Shared {
            limit,
            limit_address,
            limit_connection,
            limit_objects,
            held: AtomicUsize::new(0),
            addresses: Mutex::default(),
        }))
    }

    /// An account for one more connection of `address`.
    #[must_use]
    pub fn account(&self, address: IpAddr) -> Account {
        let mut addresses = self.0.addresses.lock();
        let known = addresses.get(&address).and_then(Weak::upgrade);
        let address = known.unwrap_or_else(|| {
            let new = Arc::new(Address {
                budget: self.clone(),
                key: address,
                held: AtomicUsize::new(0),
                turns: Turns::new(self.0.limit_objects),
            });
            addresses.insert(address, Arc::downgrade(&new));
            new
        });
        Account(Arc::new(Connection {
            address,
            held: AtomicUsize::new(0),
        }))
    }

    /// Bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held.load(Relaxed)
    }

    /// Addresses that have accounts.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.0.addresses.lock().len()
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut addresses = self.budget.0.addresses.lock();
        // A new entry may have replaced it meanwhile.
        if addresses
            .get(&self.key)
            .is_some_and(|entry| entry.strong_count() == 0)
        {
            addresses.remove(&self.key);
        }
    }
}

impl Account {
    /// Whether another response may be started. Refuses only above one and a half times the limit: small responses,
    /// which reserve nothing, go on while large ones are refused. Otherwise a few clients that do not read would block
    /// everybody.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the connection or its address holds too much; `UNAVAILABLE` when the server does.
    pub fn check(&self) -> Result<()> {
        let is_full = self
            .meters()
            .map(|(meter, limit)| meter.load(Relaxed) > limit + limit / 2);
        refusal(is_full).map_or(Ok(()), Err)
    }

    /// Waits for a turn of the address to run something that asks for so many objects.
    pub async fn turn(&self, turning: Turning, objects: u64) -> Turn<'_> {
        self.0.address.turns.take(turning, objects).await
    }

    /// Holds bytes that exist already, even beyond the limits.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Held {
        if bytes > 0 {
            self.add(bytes);
        }
        Held {
            account: self.clone(),
            bytes,
        }
    }

    /// Wraps `bytes` so that they are held until the last part of them is dropped. A few bytes are not held, since the
    /// operating system takes them at once.
    #[must_use]
    pub fn keep(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.len() <= FEW {
            return bytes.into();
        }
        struct Kept {
            bytes: Vec<u8>,
            _held: Held,
        }
        impl AsRef<[u8]> for Kept {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }
        // The capacity, not the length.
        let held = self.hold(bytes.capacity());
        Bytes::from_owner(Kept { bytes, _held: held })
    }

    fn meters(&self) -> [(&AtomicUsize, usize); 3] {
        let (address, server) = (&self.0.address, &*self.0.address.budget.0);
        [
            (&self.0.held, server.limit_connection),
            (&address.held, server.limit_address),
            (&server.held, server.limit),
        ]
    }

    fn add(&self, bytes: usize) -> [bool; 3] {
        self.meters()
            .map(|(meter, limit)| meter.fetch_add(bytes, Relaxed) + bytes > limit)
    }

    fn release(&self, bytes: usize) {
        for (meter, _) in self.meters() {
            meter.fetch_sub(bytes, Relaxed);
        }
    }
}

impl Held {
    /// Holds more bytes.
    ///
    /// # Errors
    /// As [`Account::check`]; then nothing more is held.
    pub fn take(&mut self, bytes: usize) -> Result<()> {
        if let Some(error) = refusal(self.account.add(bytes)) {
            self.account.release(bytes);
            return Err(error);
        }
        self.bytes += bytes;
        Ok(())
    }
}

/// The bytes of a request that has not come completely. The first few are not counted, as for small responses.
pub struct Arriving {
    budget: Budget,
    address: IpAddr,
    bytes: usize,
    held: Option<Held>,
}

impl Arriving {
    /// A request from `address`, of which nothing has come.
    #[must_use]
    pub fn new(budget: &Budget, address: IpAddr) -> Self {
        Self {
            budget: budget.clone(),
            address,
            bytes: 0,
            held: None,
        }
    }

    /// Counts bytes that have come.
    ///
    /// # Errors
    /// As [`Account::check`]; then nothing is held any more.
    pub fn add(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        let taken = match &mut self.held {
            Some(held) => held.take(bytes),
            None if self.bytes > FEW => {
                let account = self.budget.account(self.address);
                self.held.insert(account.hold(0)).take(self.bytes)
            }
            None => Ok(()),
        };
        if taken.is_err() {
            self.held = None;
        }
        taken
    }
}

/// The error for when the connection, its address or the server holds too much.
fn refusal(is_over: [bool; 3]) -> Option<Error> {
    match is_over {
        [false, false, false] => None,
        [false, false, true] => Some(Error::Unavailable {
            backend: "memory for answers",
        }),
        _ => Some(Error::RateLimited {
            retry_after: Duration::from_secs(1),
        }),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.release(self.bytes);
        }
    }
}

/// The number of bytes of a response while it is built.
pub struct AnswerSize {
    limit: usize,
    bytes: AtomicUsize,
    /// The number of bytes that are reserved in the budget.
    allowed: AtomicUsize,
    held: Mutex<Held>,
    is_over: AtomicBool,
}

impl AnswerSize {
    /// A response of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Account::check`].
    pub fn new(account: &Account, limit: usize) -> Result<Self> {
        account.check()?;
        Ok(Self {
            limit,
            bytes: AtomicUsize::new(0),
            allowed: AtomicUsize::new(PORTION.min(limit)),
            held: Mutex::new(account.hold(0)),
            is_over: AtomicBool::new(false),
        })
    }

    /// Counts bytes that are added to the response.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when the response exceeds LIMIT_ANSWER; and as [`Account::check`]. After the first error, every
    /// call fails.
    pub fn add(&self, bytes: usize) -> Result<()> {
        let total = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        if total <= self.allowed.load(Relaxed) {
            return Ok(());
        }
        let mut held = self.held.lock();
        let done = if total > self.limit {
            Err(over(self.limit))
        } else {
            let allowed = (total + PORTION).min(self.limit);
            let more = allowed.saturating_sub(self.allowed.load(Relaxed));
            held.take(more).map(|()| {
                self.allowed.fetch_add(more, Relaxed);
            })
        };
        if done.is_err() {
            self.is_over.store(true, Relaxed);
            // So that every later call fails too.
            self.bytes.store(self.limit + 1, Relaxed);
            self.allowed.store(0, Relaxed);
        }
        done
    }

    /// Whether the response is too large.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Starts again, for the next event of a subscription.
    pub fn begin(&self) {
        let mut held = self.held.lock();
        let bytes = std::mem::take(&mut held.bytes);
        held.account.release(bytes);
        self.bytes.store(0, Relaxed);
        self.allowed.store(PORTION.min(self.limit), Relaxed);
        self.is_over.store(false, Relaxed);
    }
}

/// The name of the limit in errors.
const TEXT: &str = "bytes of text";

/// The error for a response that is too large.
#[must_use]
pub fn over(limit: usize) -> Error {
    Error::LimitExceeded {
        what: TEXT,
        limit: limit as u64,
    }
}

/// Whether `error` is the one for a response that is too large.
#[must_use]
pub fn is_over(error: &Error) -> bool {
    matches!(error, Error::LimitExceeded { what: TEXT, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn budget() -> Budget {
        Budget::of(300 * KIB, 200 * KIB, 100 * KIB, 1_000)
    }

    /// The address 192.0.2.`host`.
    fn address(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    #[test]
    fn connection_address_and_server_have_limits() {
        let budget = budget();
        let account = |host| budget.account(address(host));
        let one = account(1);
        let mut of_one = one.hold(0);

        of_one.take(100 * KIB).unwrap();
        assert!(matches!(of_one.take(1), Err(Error::RateLimited { .. })));
        let of_two = account(1).hold(100 * KIB);
        let mut of_three = account(1).hold(0);
        assert!(matches!(of_three.take(1), Err(Error::RateLimited { .. })));
        let of_other = account(2).hold(100 * KIB);
        let mut of_last = account(3).hold(0);
        assert!(matches!(of_last.take(1), Err(Error::Unavailable { .. })));
        assert_eq!(budget.held(), 300 * KIB);

        drop((of_one, of_two, of_three));
        of_last.take(100 * KIB).unwrap();
        drop((of_other, of_last, one));

        assert_eq!((budget.held(), budget.addresses()), (0, 0));
    }

    #[test]
    fn what_is_kept_is_held_until_its_last_part_is_gone() {
        let budget = budget();
        let account = budget.account(address(1));

        let few = account.keep(vec![7; KIB]);
        assert_eq!((few.len(), budget.held()), (KIB, 0));
        let bytes = account.keep(vec![7; 50 * KIB]);
        let part = bytes.slice(..10);
        drop(bytes);
        assert_eq!(budget.held(), 50 * KIB);
        drop(part);

        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn an_answer_ends_once_and_for_all_at_its_limit() {
        let budget = budget();
        let account = budget.account(address(1));
        let size = AnswerSize::new(&account, 90 * KIB).unwrap();

        for _ in 0..90 {
            size.add(KIB).unwrap();
        }
        assert!(budget.held() >= 26 * KIB);
        assert!(matches!(size.add(1), Err(Error::LimitExceeded { .. })));
        assert!(size.add(0).is_err() && size.is_over());
        size.begin();
        assert_eq!(budget.held(), 0);
        size.add(KIB).unwrap();

        drop(size);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn an_answer_ends_when_others_hold_the_memory() {
        let budget = budget();
        let account = budget.account(address(1));
        let _others = budget.account(address(2)).hold(299 * KIB);
        let size = AnswerSize::new(&account, 90 * KIB).unwrap();

        size.add(KIB).unwrap();
        assert!(matches!(size.add(80 * KIB), Err(Error::Unavailable { .. })));

        // Small ones go on, until far too much is held.
        let rest = account.hold(2 * KIB);
        let small = AnswerSize::new(&account, 90 * KIB).unwrap();
        small.add(60 * KIB).unwrap();
        let _more = account.hold(150 * KIB);
        assert!(AnswerSize::new(&account, KIB).is_err());
        drop((rest, small));
    }
}
