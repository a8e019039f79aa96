//! Where requests come from, and who makes them.

use std::{net::IpAddr, sync::Arc};

use parking_lot::Mutex;

use super::{Actor, directive};
use crate::{
    error::{Error, Language, Result},
    ids::UserId,
};

/// Operations for callers who are not signed in, or no longer. A bad bearer token is ignored for them, and they do not
/// count as writes.
pub const SIGN_IN_OPERATIONS: [&str; 6] = [
    "login",
    "signUp",
    "refreshAccessToken",
    "logout",
    "requestPasswordReset",
    "resetPassword",
];

/// See [`Client::neighbourhood`].
#[must_use]
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

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
    /// The address whose connections are counted together: an IPv4 address, or the first address of a /64 network,
    /// which is what one IPv6 customer has.
    #[must_use]
    pub fn neighbourhood(&self) -> IpAddr {
        neighbourhood(self.address)
    }

    /// [`Client::neighbourhood`] as text: attempts are counted by it.
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

/// Who acts, and from which client: what the activity log records. `A` is the right that the act needs: an
/// [`Admin`](super::Admin), a [`SignedIn`](super::SignedIn) user, or any [`Actor`].
#[derive(Clone, Copy, Debug)]
pub struct Act<'a, A> {
    pub actor: A,
    pub client: &'a Client,
}

/// One request, or one operation on a socket: who calls from where, and what is sent back beside the response.
/// Resolvers find it in their context.
pub struct Caller {
    pub client: Client,
    /// The refresh token of the request's cookie.
    pub refresh_cookie: Option<String>,
    actor: Mutex<Actor>,
    /// A caller who has just proved to be this user, by signing up or logging in, may see the user's own fields in this
    /// response.
    proved: Mutex<Option<UserId>>,
    /// `Set-Cookie` of the response.
    set_cookie: Mutex<Option<String>>,
    /// Whether the response can carry headers. It cannot over a WebSocket.
    pub can_set_cookie: bool,
}

impl Caller {
    /// A caller who acts as `actor` until told otherwise.
    #[must_use]
    pub fn new(client: Client, actor: Actor) -> Arc<Self> {
        Self::over_http(client, actor, None, false)
    }

    /// A caller over HTTP, who may send the refresh cookie and be given one.
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

    /// The actor, as last read.
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
    /// [`Error::Withheld`] for callers who are neither an admin nor the user `owner`.
    pub fn owner_or_admin(&self, owner: Option<UserId>) -> Result<()> {
        directive::note_owner_check();
        let has_proved = owner.is_some() && *self.proved.lock() == owner;
        if has_proved || self.actor().owns(owner) {
            Ok(())
        } else {
            Err(Error::Withheld)
        }
    }

    /// # Errors
    /// [`Error::Withheld`] for callers who are neither an admin nor take part in the chat session, as `takes_part` says.
    pub fn participant_or_admin(&self, takes_part: bool) -> Result<()> {
        directive::note_owner_check();
        if takes_part || self.actor().is_admin() {
            Ok(())
        } else {
            Err(Error::Withheld)
        }
    }

    /// Sends this `Set-Cookie` with the response.
    pub fn set_cookie(&self, cookie: String) {
        *self.set_cookie.lock() = Some(cookie);
    }

    /// Takes the `Set-Cookie` to send.
    #[must_use]
    pub fn take_cookie(&self) -> Option<String> {
        self.set_cookie.lock().take()
    }
}
