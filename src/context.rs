//! What a resolver takes from its context.

use std::sync::Arc;

use async_graphql::{
    Context, Guard, ObjectType,
    connection::{ConnectionNameType, Edge, EdgeNameType},
};
use futures_util::{FutureExt, StreamExt, stream::BoxStream};

use crate::{
    access::{Access, Act, Actor, Admin, Caller, SignedIn},
    app::App,
    connection::{self, Connection, ConnectionEdge, PageArgs, Total},
    direct::Direct,
    error::{Error, Result},
    ids::UserId,
    list::{List, PageOf, TotalOf},
    loader::{Batch, Loaders},
    watch::{self, Live, State},
};

/// The return type of a resolver for a list.
pub type Listed<C> = Result<Option<Direct<C>>>;

/// What a resolver takes from its context.
pub trait ContextExt<'a> {
    /// The ports.
    fn app(&self) -> &'a App;
    /// The request.
    fn caller(&self) -> &'a Caller;
    /// Who acts.
    fn actor(&self) -> Actor;
    /// The user who is signed in.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is.
    fn signed_in(&self) -> Result<SignedIn>;
    /// The admin who is signed in.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when nobody is; `FORBIDDEN` for other users.
    fn admin(&self) -> Result<Admin>;
    /// An act of `actor` in this request.
    fn act<A>(&self, actor: A) -> Act<'a, A>;
    /// Whether the caller may use the root field `name` of queries.
    fn may_query(&self, name: &str) -> bool;
    /// The page of `list` that `args` select.
    ///
    /// # Errors
    /// `INVALID` for invalid arguments; those of the database.
    fn list<L: List<Item: ObjectType>>(
        &self,
        list: L,
        args: PageArgs,
    ) -> impl Future<Output = Listed<Connection<L::Item>>> + Send {
        self.list_with(list, args, |cursor, item| Edge::new(cursor, Direct(item)))
    }
    /// As [`ContextExt::list`], with edges that `edge` makes from a cursor and an item.
    ///
    /// # Errors
    /// As [`ContextExt::list`].
    fn list_with<L: List, N, Name, EdgeName, Extra>(
        &self,
        list: L,
        args: PageArgs,
        edge: impl Fn(String, L::Item) -> ConnectionEdge<N, EdgeName, Extra> + Send,
    ) -> impl Future<Output = Listed<Connection<N, Name, EdgeName, Extra>>> + Send
    where
        N: ObjectType,
        Name: ConnectionNameType,
        EdgeName: EdgeNameType,
        Extra: ObjectType;
    /// The events of `live` from now on: see [`watch::follow`].
    ///
    /// # Errors
    /// `NOT_FOUND` when the caller may not follow it.
    fn follow<L: Live>(
        &self,
        live: L,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<L::Item>>>> + Send;
    /// The states of `state`, from the present one to the last: see [`watch::follow_state`].
    ///
    /// # Errors
    /// `UNAVAILABLE` when the bus does not work.
    fn follow_state<S: State>(
        &self,
        state: S,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<S::Item>>>> + Send;
    /// The value of `key`, loaded together with the other keys of this level of the document.
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

    fn admin(&self) -> Result<Admin> {
        self.signed_in()?.admin()
    }

    fn act<A>(&self, actor: A) -> Act<'a, A> {
        let client = &self.caller().client;
        Act { actor, client }
    }

    fn may_query(&self, name: &str) -> bool {
        let registry = &self.schema_env.registry;
        let public_read = self.app().config.public_read.is_on();
        Access::of_field(registry, &registry.query_type, name)
            .is_some_and(|access| access.permits(&self.actor(), public_read).is_ok())
    }

    async fn list_with<L: List, N, Name, EdgeName, Extra>(
        &self,
        list: L,
        args: PageArgs,
        edge: impl Fn(String, L::Item) -> ConnectionEdge<N, EdgeName, Extra> + Send,
    ) -> Listed<Connection<N, Name, EdgeName, Extra>>
    where
        N: ObjectType,
        Name: ConnectionNameType,
        EdgeName: EdgeNameType,
        Extra: ObjectType,
    {
        let cursors = list.cursors();
        let page = args.page(cursors, self.app().config.limits.page)?;
        let asked = (list.clone(), page);
        let slice = self.load::<PageOf<L>>(asked).await?.unwrap_or_default();
        let key = list.clone();
        let total = Total::new(move |ctx| ctx.load::<TotalOf<L>>(list.to_count()).boxed());
        Ok(Some(slice.connection(total, |item| {
            edge(connection::encode(cursors, &key.key(&item)), item)
        })))
    }

    async fn follow<L: Live>(&self, live: L) -> Result<BoxStream<'static, Result<L::Item>>> {
        let caller = Arc::clone(self.data_unchecked::<Arc<Caller>>());
        let followed = watch::follow(self.app().clone(), caller, live).await?;
        Ok(followed.boxed())
    }

    async fn follow_state<S: State>(
        &self,
        state: S,
    ) -> Result<BoxStream<'static, Result<S::Item>>> {
        let caller = Arc::clone(self.data_unchecked::<Arc<Caller>>());
        let followed = watch::follow_state(self.app().clone(), caller, state).await?;
        Ok(followed.boxed())
    }

    fn load<B: Batch>(&self, key: B::Key) -> impl Future<Output = Result<Option<B::Value>>> + Send {
        self.data_unchecked::<Loaders>()
            .load::<B>(self.app(), self.actor(), key)
    }
}

/// The guard for fields with `@auth(requires: OWNER_OR_ADMIN)`: withholds the field from callers who are neither the
/// owner of the object nor an admin. Without this guard, the engine withholds it from everybody.
pub struct OwnedBy(Option<UserId>);

/// The guard for an object of `owner`. An object without an owner is for admins.
pub fn owned_by(owner: impl Into<Option<UserId>>) -> OwnedBy {
    OwnedBy(owner.into())
}

impl Guard for OwnedBy {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        Ok(ctx.caller().owner_or_admin(self.0)?)
    }
}
