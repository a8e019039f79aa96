//! The time: read through a clock that tests can move, kept as microseconds.
//!
//! There are two kinds. A [`Timestamp`] says when something happened, for people and for rows; it jumps when the
//! system's time is set. A [`Moment`] never jumps, and is valid only in this process: lifetimes, rate windows and
//! caches use it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    mysql::Mysql,
    serialize::{self, Output, ToSql},
    sql_types::BigInt,
    sqlite::Sqlite,
};
use parking_lot::Mutex;
use uuid::{ContextV7, Uuid};

use crate::ids::{Id, Kind};

/// An instant: microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = BigInt)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant this many microseconds after the beginning of 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the beginning of 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Seconds since the beginning of 1970, as in a JWT.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// So much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }

    /// The absolute difference.
    #[must_use]
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(other.0))
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(duration)))
    }

    /// How long ago `earlier` was, or zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = DateTime::<Utc>::from_timestamp_micros(self.0).unwrap_or_default();
        f.write_str(&instant.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

/// An instant as RFC 3339 in UTC, with microseconds: 2026-11-23T09:30:00.000000Z.
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://scalars.graphql.org/andimarek/date-time"
)]
impl ScalarType for Timestamp {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let instant = DateTime::parse_from_rfc3339(text)?;
        Ok(Self(instant.timestamp_micros()))
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

impl ToSql<BigInt, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        <i64 as ToSql<BigInt, Sqlite>>::to_sql(&self.0, out)
    }
}

impl ToSql<BigInt, Mysql> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <i64 as ToSql<BigInt, Mysql>>::to_sql(&self.0, out)
    }
}

impl<DB: Backend> FromSql<BigInt, DB> for Timestamp
where
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        i64::from_sql(value).map(Self)
    }
}

/// A point in monotonic time: the time since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// So much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long ago `earlier` was, or zero if it is in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Tells the time and makes ids, which begin with the time. A clone tells the same time.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    began: Instant,
    /// Microseconds that a test has added.
    passed: AtomicI64,
    /// Microseconds by which a test has set the time of day forward or, if negative, back.
    set: AtomicI64,
    /// Keeps ids of the same millisecond in the order in which they were made.
    ids: Mutex<ContextV7>,
}

impl Clock {
    /// The system's time.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            passed: AtomicI64::new(0),
            set: AtomicI64::new(0),
            ids: Mutex::new(ContextV7::new()),
        }))
    }

    /// The current time of day.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the system's time"
    )]
    pub fn now(&self) -> Timestamp {
        let moved = self.0.passed.load(Ordering::Relaxed) + self.0.set.load(Ordering::Relaxed);
        Timestamp(Utc::now().timestamp_micros() + moved)
    }

    /// The present moment.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.0.began.elapsed() + self.moved())
    }

    /// A new id, greater than all earlier ids of this clock.
    #[must_use]
    pub fn id<K: Kind>(&self) -> Id<K> {
        let now = self.now().micros();
        let seconds = u64::try_from(now.div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(now.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        let ids = self.0.ids.lock();
        Id::from_uuid(Uuid::new_v7(uuid::Timestamp::from_unix(
            &*ids, seconds, nanos,
        )))
    }

    /// How far tests have moved this clock forward.
    #[must_use]
    pub fn moved(&self) -> Duration {
        let passed = self.0.passed.load(Ordering::Relaxed);
        Duration::from_micros(u64::try_from(passed).unwrap_or(0))
    }

    /// Moves this clock and its clones forward. For tests. Real timers are not affected.
    pub fn advance(&self, duration: Duration) {
        self.0
            .passed
            .fetch_add(micros_of(duration), Ordering::Relaxed);
    }

    /// Sets the time of day forward or, if negative, back, by this many seconds, as an operator or NTP does. No time
    /// passes. For tests.
    pub fn set_by(&self, seconds: i64) {
        self.0.set.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PostId;

    #[test]
    fn ids_grow_even_within_a_millisecond_and_when_the_time_is_set_back() {
        let clock = Clock::system();
        let mut ids: Vec<PostId> = (0..5_000).map(|_| clock.id()).collect();
        clock.set_by(-3_600);
        ids.extend((0..5_000).map(|_| clock.id::<crate::ids::PostKind>()));

        assert!(ids.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_moment_does_not_care_what_time_it_is() {
        let clock = Clock::system();
        let (began, said) = (clock.moment(), clock.now());

        for hour in [-3_600, 7_200] {
            clock.set_by(hour);
            assert!(clock.moment().since(began) < Duration::from_secs(60));
        }
        assert!(clock.now().since(said) >= Duration::from_secs(3_600));
        clock.advance(Duration::from_secs(60));

        assert!(clock.moment().since(began) >= Duration::from_secs(60));
    }

    #[test]
    fn instants_are_written_as_rfc_3339() {
        assert_eq!(
            Timestamp::from_micros(1_000_001).to_string(),
            "1970-01-01T00:00:01.000001Z"
        );
    }
}
