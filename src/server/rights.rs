//! Authentication: whom a token authenticates, and whether it is still valid. What the transports and the engine need
//! from accounts.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    execution::Rights,
    net::{Authenticator, SocketRight},
};
use crate::{
    access::{Access, Actor, Caller, SIGN_IN_OPERATIONS, SignedIn},
    accounts::{
        store::sessions,
        tokens::{self, AccessClaims},
    },
    app::App,
    error::{Error, Result},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Operations that do not count as writes: a user who has reached the limit may still log out, subscribe, and lock
/// others out of the account.
const NO_WRITES: [&str; 6] = [
    "logoutEverywhere",
    "issueSubscriptionToken",
    "changePassword",
    // These have rates of their own.
    "sendChat",
    "setTyping",
    "markChatSessionRead",
];

/// The number of access tokens whose verification is cached.
const REMEMBERED: u64 = 10_000;

/// Accounts, as the transports see them.
#[derive(Clone)]
pub struct Accounts {
    app: App,
    /// The claims of verified tokens. They never change, and a client sends the same token for minutes. Expiry is
    /// checked each time.
    read: moka::sync::Cache<String, AccessClaims>,
}

impl Accounts {
    /// The accounts of `app`.
    #[must_use]
    pub fn new(app: App) -> Self {
        let read = moka::sync::Cache::new(REMEMBERED);
        Self { app, read }
    }

    fn claims(&self, token: &str) -> Result<AccessClaims> {
        if let Some(claims) = self.read.get(token) {
            return claims.unless_over(&self.app.clock);
        }
        let claims = tokens::read_access(&self.app, token)?;
        self.read.insert(token.to_owned(), claims);
        Ok(claims)
    }

    async fn of_access_token(&self, token: &str) -> Result<SocketRight> {
        let claims = self.claims(token)?;
        let actor = self.app.rights.of(claims.session).await?;
        if actor.id != claims.user {
            return Err(Error::TokenInvalid);
        }
        Ok(SocketRight {
            actor,
            expires: Some(claims.expires),
        })
    }

    async fn of_socket_token(&self, token: &str) -> Result<SocketRight> {
        match sessions::redeem_subscription_token(&self.app, token).await? {
            Some(session) => {
                let actor = self.app.rights.of(session).await?;
                Ok(SocketRight {
                    actor,
                    expires: None,
                })
            }
            None => self.of_access_token(token).await,
        }
    }
}

impl Authenticator for Accounts {
    fn bearer(&self, token: String) -> BoxFuture<'static, Result<Actor>> {
        let accounts = self.clone();
        async move {
            Ok(Actor::SignedIn(
                accounts.of_access_token(&token).await?.actor,
            ))
        }
        .boxed()
    }

    fn socket(&self, token: String) -> BoxFuture<'static, Result<SocketRight>> {
        let accounts = self.clone();
        async move { accounts.of_socket_token(&token).await }.boxed()
    }

    fn again(&self, right: &SocketRight) -> BoxFuture<'static, Result<SignedIn>> {
        let (accounts, session) = (self.clone(), right.actor.session);
        async move { accounts.app.rights.of(session).await }.boxed()
    }
}

impl Rights for Accounts {
    fn permits(&self, caller: &Caller, access: Access) -> Result<()> {
        access.permits(&caller.actor(), self.app.config.public_read.is_on())
    }

    fn refresh<'a>(&'a self, caller: &'a Caller, field: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let Some(signed_in) = caller.actor().signed_in().copied() else {
                return Ok(());
            };
            match self.app.rights.of(signed_in.session).await {
                Ok(present) => caller.become_actor(Actor::SignedIn(present)),
                // The session was ended by an earlier field of this mutation: continue without a user.
                Err(Error::TokenInvalid) => {
                    caller.become_actor(Actor::Anonymous);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if SIGN_IN_OPERATIONS.contains(&field) || NO_WRITES.contains(&field) {
                return Ok(());
            }
            self.app
                .rate(
                    "writes",
                    &signed_in.id.to_string(),
                    self.app.config.limits.writes,
                    MINUTE,
                )
                .await
        }
        .boxed()
    }
}
