//! Who calls, and what that allows: the one place that says who may.
//!
//! The transports make a [`Caller`] once per request or socket operation; guards and stores read it. A guard on a root
//! field is an error for who may not pass; a guarded field of a type is withheld: null, without an error.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use async_graphql::TypeDirective;
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    mysql::Mysql,
    serialize::{self, Output, ToSql},
    sql_types::SmallInt,
    sqlite::Sqlite,
};
use parking_lot::Mutex;

use crate::{
    clock::{Clock, Moment},
    error::{Error, Language, Result},
    ids::{SignInId, UserId},
};

/// What a user may do in general.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum, AsExpression, FromSqlRow,
)]
#[diesel(sql_type = SmallInt)]
pub enum Role {
    /// Everybody who signed up.
    User,
    /// Who runs the place.
    Admin,
}

impl Role {
    const fn number(self) -> &'static i16 {
        match self {
            Self::User => &0,
            Self::Admin => &1,
        }
    }
}

impl ToSql<SmallInt, Sqlite> for Role {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        <i16 as ToSql<SmallInt, Sqlite>>::to_sql(self.number(), out)
    }
}

impl ToSql<SmallInt, Mysql> for Role {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <i16 as ToSql<SmallInt, Mysql>>::to_sql(self.number(), out)
    }
}

impl<DB: Backend> FromSql<SmallInt, DB> for Role
where
    i16: FromSql<SmallInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        match i16::from_sql(value)? {
            0 => Ok(Self::User),
            1 => Ok(Self::Admin),
            other => Err(format!("{other} is no role").into()),
        }
    }
}

/// Somebody who is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub id: UserId,
    pub role: Role,
    /// The sign-in session that the right to act comes from.
    pub session: SignInId,
}

impl SignedIn {
    /// Whether this is an admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    Anonymous,
    SignedIn(SignedIn),
}

impl Actor {
    /// Who is signed in, if anybody.
    #[must_use]
    pub fn signed_in(&self) -> Option<&SignedIn> {
        match self {
            Self::Anonymous => None,
            Self::SignedIn(signed_in) => Some(signed_in),
        }
    }

    /// The user's id, if anybody is signed in.
    #[must_use]
    pub fn id(&self) -> Option<UserId> {
        self.signed_in().map(|s| s.id)
    }

    /// Whether this is an admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.signed_in().is_some_and(SignedIn::is_admin)
    }

    /// Whether this is an admin or the user `owner`.
    #[must_use]
    pub fn owns(&self, owner: Option<UserId>) -> bool {
        self.is_admin() || (owner.is_some() && self.id() == owner)
    }
}

/// Operations of who is not signed in (any more): a bad bearer does not stand in their way, nor does the rate of writes.
pub const SIGN_IN_OPERATIONS: [&str; 6] = [
    "login",
    "signUp",
    "refreshAccessToken",
    "logout",
    "requestPasswordReset",
    "resetPassword",
];

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct Client {
    /// The peer's address, or what a trusted proxy says of it.
    pub address: IpAddr,
    pub user_agent: Option<String>,
    pub request_id: String,
    pub language: Language,
}

impl Client {
    /// Who counts as one: an address or, with IPv6, the first one of the network of 64 bits that one customer has.
    #[must_use]
    pub fn neighbourhood(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::from([a, b, c, d, 0, 0, 0, 0])
            }
        }
    }

    /// Whose attempts are counted together, in words.
    #[must_use]
    pub fn network(&self) -> String {
        match self.neighbourhood() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

/// One request, or one operation on a socket: who calls from where, and what goes back beside the answer.
/// Resolvers find it in their context.
pub struct Caller {
    pub client: Client,
    /// The refresh token of the request's cookie.
    pub refresh_cookie: Option<String>,
    actor: Mutex<Actor>,
    /// Who has just proved to be this user, by signing up or logging in, sees in the answer what the owner sees.
    proved: Mutex<Option<UserId>>,
    /// `Set-Cookie` of the answer.
    set_cookie: Mutex<Option<String>>,
    /// Whether the answer can still carry headers: not over a WebSocket.
    pub can_set_cookie: bool,
}

impl Caller {
    /// A caller who acts as `actor` until told otherwise.
    #[must_use]
    pub fn new(client: Client, actor: Actor) -> Arc<Self> {
        Self::over_http(client, actor, None, false)
    }

    /// A caller over HTTP, who has and may be given the refresh cookie.
    #[must_use]
    pub fn over_http(
        client: Client,
        actor: Actor,
        refresh_cookie: Option<String>,
        can_set_cookie: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            refresh_cookie,
            actor: Mutex::new(actor),
            proved: Mutex::new(None),
            set_cookie: Mutex::new(None),
            can_set_cookie,
        })
    }

    /// Who acts, as last read.
    #[must_use]
    pub fn actor(&self) -> Actor {
        *self.actor.lock()
    }

    /// Notes that the rights have been read again.
    pub fn become_actor(&self, actor: Actor) {
        *self.actor.lock() = actor;
    }

    /// Notes that the caller has proved to be `user`, without acting as that user yet.
    pub fn proved_to_be(&self, user: UserId) {
        *self.proved.lock() = Some(user);
    }

    /// # Errors
    /// [`Error::Withheld`] for who is neither an admin nor the user `owner`.
    pub fn owner_or_admin(&self, owner: Option<UserId>) -> Result<()> {
        let has_proved = owner.is_some() && *self.proved.lock() == owner;
        if has_proved || self.actor().owns(owner) {
            Ok(())
        } else {
            Err(Error::Withheld)
        }
    }

    /// # Errors
    /// [`Error::Withheld`] for who is not an admin.
    pub fn admin(&self) -> Result<()> {
        if self.actor().is_admin() {
            Ok(())
        } else {
            Err(Error::Withheld)
        }
    }

    /// Sends this `Set-Cookie` with the answer.
    pub fn set_cookie(&self, cookie: String) {
        *self.set_cookie.lock() = Some(cookie);
    }

    /// The `Set-Cookie` to send, once.
    #[must_use]
    pub fn take_cookie(&self) -> Option<String> {
        self.set_cookie.lock().take()
    }
}

/// Who may call an operation or see a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, async_graphql::Enum)]
pub enum Access {
    /// Everybody.
    Anyone,
    /// Anyone when PUBLIC_READ is on, else who is signed in.
    Reader,
    /// Who is signed in.
    SignedIn,
    /// Who takes part in the chat session; admins too, to read.
    Participant,
    /// The owner of the thing, or an admin.
    OwnerOrAdmin,
    /// Admins.
    Admin,
}

/// Who may call this operation or see this field.
#[TypeDirective(name = "auth", location = "FieldDefinition")]
pub fn auth(requires: Access) {}

impl Access {
    /// The rule as far as it does not depend on the thing: ownership and participation are the store's to judge.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `FORBIDDEN`.
    pub fn permits(self, actor: &Actor, public_read: bool) -> Result<()> {
        let passes = match self {
            Self::Anyone => true,
            Self::Reader => public_read || actor.signed_in().is_some(),
            Self::SignedIn | Self::Participant | Self::OwnerOrAdmin => actor.signed_in().is_some(),
            Self::Admin => actor.is_admin(),
        };
        match (passes, actor) {
            (true, _) => Ok(()),
            (false, Actor::Anonymous) => Err(Error::Unauthenticated),
            (false, Actor::SignedIn(_)) => Err(Error::Forbidden),
        }
    }
}

/// Who the sign-in sessions speak for, remembered for a moment, so that not every request asks the database.
///
/// A change of rights on this server empties it at once ([`RightsCache::forget`]); what changes elsewhere shows when
/// [`RIGHTS_LIFETIME`] is over, or earlier by the bus.
pub struct RightsCache {
    clock: Clock,
    remembered: Mutex<Remembered>,
}

/// How long rights are remembered.
pub const RIGHTS_LIFETIME: Duration = Duration::from_secs(1);
/// Above so many sessions, those whose time is over are dropped.
const SWEEP_RIGHTS_FROM: usize = 10_000;

#[derive(Default)]
struct Remembered {
    sessions: HashMap<SignInId, (SignedIn, Moment)>,
    /// Grows with every change of rights, so that what was read before a change is not kept after it.
    changes: u64,
}

/// A moment in the history of rights: taken before the database is asked.
#[derive(Clone, Copy)]
pub struct AsOf(u64);

impl RightsCache {
    /// An empty cache.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            remembered: Mutex::default(),
        }
    }

    /// Who `session` speaks for, or the moment to hand to [`RightsCache::remember`] after asking the database.
    pub fn recall(&self, session: SignInId) -> Result<SignedIn, AsOf> {
        let remembered = self.remembered.lock();
        match remembered.sessions.get(&session) {
            Some((signed_in, read_at)) if self.clock.moment().since(*read_at) < RIGHTS_LIFETIME => {
                Ok(*signed_in)
            }
            _ => Err(AsOf(remembered.changes)),
        }
    }

    /// Keeps what the database said, unless rights have changed since it was asked.
    pub fn remember(&self, signed_in: SignedIn, as_of: AsOf) {
        let now = self.clock.moment();
        let mut remembered = self.remembered.lock();
        if remembered.changes != as_of.0 {
            return;
        }
        if remembered.sessions.len() >= SWEEP_RIGHTS_FROM {
            remembered
                .sessions
                .retain(|_, (_, read_at)| now.since(*read_at) < RIGHTS_LIFETIME);
        }
        remembered
            .sessions
            .insert(signed_in.session, (signed_in, now));
    }

    /// Forgets all about `user`.
    pub fn forget(&self, user: UserId) {
        let mut remembered = self.remembered.lock();
        remembered.changes += 1;
        remembered
            .sessions
            .retain(|_, (signed_in, _)| signed_in.id != user);
    }

    /// Forgets everything, as after missed news.
    pub fn forget_all(&self) {
        let mut remembered = self.remembered.lock();
        remembered.changes += 1;
        remembered.sessions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_remembered_for_a_second_whatever_the_time_of_day() {
        let clock = Clock::system();
        let cache = RightsCache::new(clock.clone());
        let signed_in = SignedIn {
            id: clock.id(),
            role: Role::User,
            session: clock.id(),
        };
        let recall = || cache.recall(signed_in.session).ok();
        let as_of = cache.recall(signed_in.session).expect_err("unknown yet");
        cache.remember(signed_in, as_of);

        clock.set_by(-3_600);
        assert_eq!(recall(), Some(signed_in));
        clock.advance(RIGHTS_LIFETIME);

        assert_eq!(recall(), None);
    }
}
