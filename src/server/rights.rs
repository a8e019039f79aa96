//! Who a token speaks for, and whether it still does: what the transports and the engine ask of accounts.

use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    execution::Rights,
    net::{Authenticator, SocketRight},
};
use crate::{
    access::{Actor, Caller, SIGN_IN_OPERATIONS, SignedIn},
    accounts::{store::sessions, tokens},
    app::App,
    error::{Error, Result},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Accounts, as the transports see them.
#[derive(Clone)]
pub struct Accounts(pub App);

impl Accounts {
    async fn of_access_token(&self, token: &str) -> Result<SocketRight> {
        let claims = tokens::read_access(&self.0, token)?;
        let actor = sessions::current(&self.0, claims.session).await?;
        if actor.id != claims.user {
            return Err(Error::TokenInvalid);
        }
        Ok(SocketRight {
            actor,
            expires_at: Some(claims.expires_at),
        })
    }

    async fn of_socket_token(&self, token: &str) -> Result<SocketRight> {
        match sessions::redeem_subscription_token(&self.0, token).await? {
            Some(session) => {
                let actor = sessions::current(&self.0, session).await?;
                Ok(SocketRight {
                    actor,
                    expires_at: None,
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
        async move { sessions::current(&accounts.0, session).await }.boxed()
    }
}

impl Rights for Accounts {
    fn refresh<'a>(&'a self, caller: &'a Caller, field: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let Some(signed_in) = caller.actor().signed_in().copied() else {
                return Ok(());
            };
            match sessions::current(&self.0, signed_in.session).await {
                Ok(present) => caller.become_actor(Actor::SignedIn(present)),
                // Ended by a field before this one: whoever goes on, goes on as nobody.
                Err(Error::TokenInvalid) => {
                    caller.become_actor(Actor::Anonymous);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if SIGN_IN_OPERATIONS.contains(&field) {
                return Ok(());
            }
            self.0
                .rate(
                    "writes",
                    &signed_in.id.to_string(),
                    self.0.config.limits.writes,
                    MINUTE,
                )
                .await
        }
        .boxed()
    }
}
