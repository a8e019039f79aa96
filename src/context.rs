//! What a resolver takes from its context.

use std::sync::Arc;

use async_graphql::{Context, Guard};
use futures_util::FutureExt;

use crate::{
    access::{Access, Actor, Caller, SignedIn},
    app::App,
    connection::Total,
    error::{Error, Result},
    loader::{Batch, Loaders},
};

/// What a resolver takes from its context.
pub trait ContextExt<'a> {
    /// The ports.
    fn app(&self) -> &'a App;
    /// The request.
    fn caller(&self) -> &'a Caller;
    /// Who acts.
    fn actor(&self) -> Actor;
    /// Who is signed in.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is.
    fn signed_in(&self) -> Result<SignedIn>;
    /// The value of `key`, read together with what else this level of the document asks for.
    fn load<B: Batch>(&self, key: B::Key) -> impl Future<Output = Result<Option<B::Value>>> + Send;
}

impl<'a> ContextExt<'a> for Context<'a> {
    fn app(&self) -> &'a App {
        self.data_unchecked::<App>()
    }

    fn caller(&self) -> &'a Caller {
        self.data_unchecked::<Arc<Caller>>()
    }

    fn actor(&self) -> Actor {
        self.caller().actor()
    }

    fn signed_in(&self) -> Result<SignedIn> {
        self.actor()
            .signed_in()
            .copied()
            .ok_or(Error::Unauthenticated)
    }

    fn load<B: Batch>(&self, key: B::Key) -> impl Future<Output = Result<Option<B::Value>>> + Send {
        self.data_unchecked::<Loaders>()
            .load::<B>(self.app(), self.actor(), key)
    }
}

/// The number of items in the list `key`, counted together with what else is counted on its level of the document.
pub fn total<B: Batch<Value = i64>>(key: B::Key) -> Total {
    Total::new(move |ctx| ctx.load::<B>(key.clone()).boxed())
}

impl Guard for Access {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        let public_read = ctx.app().config.public_read.is_on();
        Ok(self.permits(&ctx.actor(), public_read)?)
    }
}
