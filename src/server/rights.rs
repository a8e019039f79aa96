//! Who a token speaks for, and whether it still does: what the transports and the engine ask of accounts.

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

/// What a user who has written too much may still do: leave, watch, and lock others out.
const NO_WRITES: [&str; 3] = [
    "logoutEverywhere",
    "issueSubscriptionToken",
    "changePassword",
];

/// Access tokens whose signatures are remembered.
const REMEMBERED: u64 = 10_000;

/// Accounts, as the transports see them.
#[derive(Clone)]
pub struct Accounts {
    app: App,
    /// What tokens say that were found valid, apart from their end: that never changes, and a client shows one token for
    /// minutes.
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
                // Ended by a field before this one: whoever goes on, goes on as nobody.
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
