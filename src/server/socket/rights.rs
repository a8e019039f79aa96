//! What a socket may do: how it is claimed, and what becomes of it while the socket is open.

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    access::{Actor, SignedIn},
    clock::Moment,
    error::{Error, Result},
    server::net::{Net, Seat, SocketRight},
};

/// The token of a `connection_init`: `token`, or `authorization` as in HTTP. Null is as good as absent.
///
/// # Errors
/// `TOKEN_INVALID` for what cannot be one.
pub fn token_of(payload: &Map<String, Value>) -> Result<Option<String>> {
    let value = |key| payload.get(key).filter(|value| !value.is_null());
    if let Some(token) = value("token") {
        return not_empty(token.as_str()).map(Some);
    }
    let Some(header) = value("authorization").or_else(|| value("Authorization")) else {
        return Ok(None);
    };
    match header.as_str().and_then(|text| text.trim().split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            not_empty(Some(token.trim())).map(Some)
        }
        _ => Err(Error::TokenInvalid),
    }
}

fn not_empty(token: Option<&str>) -> Result<String> {
    token
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
        .ok_or(Error::TokenInvalid)
}

/// What a question to the authenticator brought.
pub enum Learned {
    /// Of the token of a `connection_init`.
    Opened(Result<SocketRight>),
    /// Whether the right still stands.
    Again(Result<SignedIn>),
    /// Of the token of a `ping`, and what to send back.
    Renewed(Result<SocketRight>, Map<String, Value>),
}

/// The right of a socket that a user opened. It holds one of the user's seats.
pub struct Standing {
    right: SocketRight,
    seat: Seat,
}

impl Standing {
    /// `right`, in this seat.
    pub fn new(right: SocketRight, seat: Seat) -> Self {
        Self { right, seat }
    }

    /// The right as last read.
    pub fn right(&self) -> SocketRight {
        self.right
    }

    /// When the right expires, if it does, in the time that timers know.
    pub fn expires(&self, now: Moment) -> Option<Instant> {
        let left = self.right.expires?.since(now);
        Instant::now().checked_add(left)
    }

    /// Whether it has expired.
    pub fn is_over(&self, now: Moment) -> bool {
        self.right.expires.is_some_and(|at| at <= now)
    }

    /// Notes what the user has become.
    pub fn become_actor(&mut self, actor: SignedIn) {
        self.right.actor = actor;
    }

    /// Takes over what a newer token of the same sign-in session allows. An older one shortens nothing.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for a token of another session.
    pub fn renew(&mut self, newer: SocketRight) -> Result<()> {
        if newer.actor.session != self.right.actor.session || newer.actor.id != self.right.actor.id
        {
            return Err(Error::TokenInvalid);
        }
        self.right.actor = newer.actor;
        self.right.expires = match (self.right.expires, newer.expires) {
            (Some(old), Some(new)) => Some(old.max(new)),
            _ => None,
        };
        Ok(())
    }

    /// Waits for word that the rights of the user may have changed.
    pub async fn changed(&self) {
        self.seat.changed().await;
    }
}

/// Questions to the authenticator that are under way.
#[derive(Default)]
pub struct Questions {
    open: FuturesUnordered<BoxFuture<'static, Learned>>,
    /// Whether one of them asks if the right still stands.
    is_asking_again: bool,
    /// Whether the rights may have changed since that was asked.
    is_stale: bool,
}

impl Questions {
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Asks for whom the token of a `connection_init` speaks.
    pub fn open(&mut self, net: &Net, token: String) {
        let answer = net.authenticator.socket(token);
        self.open
            .push(Box::pin(async { Learned::Opened(answer.await) }));
    }

    /// Asks for whom the token of a `ping` speaks.
    pub fn renew(&mut self, net: &Net, token: String, echo: Map<String, Value>) {
        let answer = net.authenticator.socket(token);
        self.open
            .push(Box::pin(async { Learned::Renewed(answer.await, echo) }));
    }

    /// Asks whether the right still stands: once at a time and, if word of a change comes meanwhile, once more after that.
    pub fn again(&mut self, net: &Net, right: &SocketRight) {
        if self.is_asking_again {
            self.is_stale = true;
            return;
        }
        self.is_asking_again = true;
        let answer = net.authenticator.again(right);
        self.open
            .push(Box::pin(async { Learned::Again(answer.await) }));
    }

    /// The next answer; never resolves while nothing is asked. Safe to drop while waiting.
    pub async fn next(&mut self) -> Learned {
        match self.open.next().await {
            Some(learned) => learned,
            None => std::future::pending().await,
        }
    }

    /// Notes that it was answered whether the right stands. Tells whether to ask once more.
    pub fn answered_again(&mut self) -> bool {
        self.is_asking_again = false;
        std::mem::take(&mut self.is_stale)
    }
}

/// Who acts on a socket with this right, read anew before each operation.
///
/// # Errors
/// The error that ended the right, or `UNAVAILABLE` when nobody can tell.
pub async fn actor(net: &Net, right: Option<SocketRight>) -> Result<Actor> {
    match right {
        None => Ok(Actor::Anonymous),
        Some(right) => net.authenticator.again(&right).await.map(Actor::SignedIn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_is_found_under_each_of_its_names() {
        for (payload, expected) in [
            (json!({}), Some(None)),
            (json!({ "token": null, "authorization": null }), Some(None)),
            (json!({ "token": "t" }), Some(Some("t"))),
            (json!({ "authorization": "Bearer t" }), Some(Some("t"))),
            (json!({ "Authorization": "bearer t" }), Some(Some("t"))),
            (
                json!({ "token": null, "Authorization": "Bearer t" }),
                Some(Some("t")),
            ),
            (json!({ "token": "" }), None),
            (json!({ "token": 1 }), None),
            (json!({ "token": "", "authorization": "Bearer t" }), None),
            (json!({ "authorization": "" }), None),
            (json!({ "authorization": "t" }), None),
            (json!({ "authorization": "Bearer " }), None),
            (json!({ "authorization": "Basic t" }), None),
        ] {
            let Value::Object(object) = payload else {
                unreachable!()
            };
            let found = token_of(&object).ok();
            assert_eq!(found.as_ref().map(Option::as_deref), expected, "{object:?}");
        }
    }
}
