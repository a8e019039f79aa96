//! The right of a socket: how it is claimed, renewed and ended.

use std::task::{Context, Poll};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::{
    access::{Actor, SignedIn},
    clock::Moment,
    error::{Error, Result},
    server::net::{Net, Seat, SocketRight},
};

/// The token of a `connection_init`: `token`, or `authorization` as in HTTP. Null counts as absent.
///
/// # Errors
/// `TOKEN_INVALID` for anything that cannot be a token.
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

/// An answer of the authenticator.
pub enum Learned {
    /// For the token of a `connection_init`.
    Opened(Result<SocketRight>),
    /// Whether the right still stands.
    Again(Result<SignedIn>),
    /// For the token of a `ping`, with the payload to send back.
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

    /// When the right expires, if it does, as an instant for timers.
    pub fn expires(&self, now: Moment) -> Option<Instant> {
        let left = self.right.expires?.since(now);
        Instant::now().checked_add(left)
    }

    /// Whether it has expired.
    pub fn is_over(&self, now: Moment) -> bool {
        self.right.expires.is_some_and(|at| at <= now)
    }

    /// Updates the user's current role.
    pub fn become_actor(&mut self, actor: SignedIn) {
        self.right.actor = actor;
        self.seat.set_right(actor);
    }

    /// Extends the right by a newer token of the same sign-in session. An older token shortens nothing.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for a token of another session.
    pub fn renew(&mut self, newer: SocketRight) -> Result<()> {
        if newer.actor.session != self.right.actor.session || newer.actor.id != self.right.actor.id
        {
            return Err(Error::TokenInvalid);
        }
        self.become_actor(newer.actor);
        self.right.expires = match (self.right.expires, newer.expires) {
            (Some(old), Some(new)) => Some(old.max(new)),
            _ => None,
        };
        Ok(())
    }

    /// Waits for a notification that the user's rights may have changed.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.seat.poll_changed(cx)
    }
}

/// Pending calls to the authenticator.
#[derive(Default)]
pub struct Questions {
    open: FuturesUnordered<BoxFuture<'static, Learned>>,
    /// Whether one of them checks the right again.
    is_asking_again: bool,
    /// Whether the rights may have changed since that check began.
    is_stale: bool,
}

impl Questions {
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Authenticates the token of a `connection_init`.
    pub fn open(&mut self, net: &Net, token: String) {
        let answer = net.authenticator.socket(token);
        self.open
            .push(Box::pin(async { Learned::Opened(answer.await) }));
    }

    /// Authenticates the token of a `ping`.
    pub fn renew(&mut self, net: &Net, token: String, echo: Map<String, Value>) {
        let answer = net.authenticator.socket(token);
        self.open
            .push(Box::pin(async { Learned::Renewed(answer.await, echo) }));
    }

    /// Checks the right again. If a check is running already, another one follows it.
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

    /// The next answer; pending while there are no calls.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Learned> {
        match self.open.poll_next_unpin(cx) {
            Poll::Ready(Some(learned)) => Poll::Ready(learned),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Marks the check of the right as done. Returns whether to check once more.
    pub fn answered_again(&mut self) -> bool {
        self.is_asking_again = false;
        std::mem::take(&mut self.is_stale)
    }
}

/// The actor of a socket with this right, read again before each operation.
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
