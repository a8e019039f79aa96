//! How much memory answers may hold that nobody has read yet: for each connection, each address and the whole server.
//!
//! An answer takes its bytes while it is made, so that the budget bounds what is made at once, and holds them until they
//! are handed to the operating system.

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

use crate::{
    config::Limits,
    error::{Error, Result},
};

/// Answers take bytes in such portions; the first one is too small to be worth the asking.
const PORTION: usize = 64 << 10;

/// Bytes that are not worth the counting.
const FEW: usize = 16 << 10;

/// The budget of one server. Cheap to clone.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    limit: usize,
    limit_address: usize,
    limit_connection: usize,
    held: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, Weak<Address>>>,
}

/// What the connections of one address hold. Gone with the last of them.
struct Address {
    budget: Budget,
    key: IpAddr,
    held: AtomicUsize,
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
    /// A budget of which nothing is taken yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self::of(
            limits.unread,
            limits.unread_address,
            limits.unread_connection,
        )
    }

    fn of(limit: usize, limit_address: usize, limit_connection: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            limit_address,
            limit_connection,
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
        // Another one may have taken its place meanwhile.
        if addresses
            .get(&self.key)
            .is_some_and(|entry| entry.strong_count() == 0)
        {
            addresses.remove(&self.key);
        }
    }
}

impl Account {
    /// Whether another answer may be begun. Refuses only when half as much again is held as may be: small answers, which
    /// take nothing, go on when large ones are refused, or a few clients who do not read would keep everybody from anything.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the connection or its address holds too much; `UNAVAILABLE` when the server does.
    pub fn check(&self) -> Result<()> {
        let is_full = self
            .meters()
            .map(|(meter, limit)| meter.load(Relaxed) > limit + limit / 2);
        refusal(is_full).map_or(Ok(()), Err)
    }

    /// Holds so many bytes that are there already, also beyond the limits.
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

    /// `bytes`, which are held until the last part of them is dropped; unless they are few, for those the operating system
    /// takes at once.
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
        // What the allocator has given, not what is in use.
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
    /// Holds so many bytes more.
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

/// What to say when the connection, its address or the server holds too much.
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

/// How many bytes an answer has come to while it is made.
pub struct AnswerSize {
    limit: usize,
    bytes: AtomicUsize,
    /// Bytes up to which the budget was asked.
    allowed: AtomicUsize,
    held: Mutex<Held>,
    is_over: AtomicBool,
}

impl AnswerSize {
    /// An answer of at most `limit` bytes.
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

    /// Counts bytes that go into the answer.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when it grows beyond LIMIT_ANSWER; and as [`Account::check`]. From then on, for whatever is added.
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
            // Whatever comes asks again, and fails.
            self.bytes.store(self.limit + 1, Relaxed);
            self.allowed.store(0, Relaxed);
        }
        done
    }

    /// Whether it has become more than it may.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Begins with the next answer, of a subscription.
    pub fn begin(&self) {
        let mut held = self.held.lock();
        let bytes = std::mem::take(&mut held.bytes);
        held.account.release(bytes);
        self.bytes.store(0, Relaxed);
        self.allowed.store(PORTION.min(self.limit), Relaxed);
        self.is_over.store(false, Relaxed);
    }
}

/// What answers have too much of.
const TEXT: &str = "bytes of text";

/// More text than an answer may hold.
#[must_use]
pub fn over(limit: usize) -> Error {
    Error::LimitExceeded {
        what: TEXT,
        limit: limit as u64,
    }
}

/// Whether `error` says that an answer is too large.
#[must_use]
pub fn is_over(error: &Error) -> bool {
    matches!(error, Error::LimitExceeded { what: TEXT, .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn budget() -> Budget {
        Budget::of(300 * KIB, 200 * KIB, 100 * KIB)
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
