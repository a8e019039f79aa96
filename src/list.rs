//! One way to answer a list: a [`List`] says what it consists of, and pages, totals and cursors follow. All lists on
//! one level of a document are read together.

use std::{collections::HashMap, hash::Hash, marker::PhantomData};

use async_graphql::TypeDirective;

use crate::{
    access::Actor,
    app::App,
    connection::{CursorKey, Cursors, Direction, Page, Slice},
    db::Conn,
    error::Result,
    loader::Batch,
};

/// The greatest length of a plain list, by which its cost is counted.
#[TypeDirective(name = "listSize", location = "FieldDefinition")]
pub fn list_size(assumed_size: i32) {}

/// A list of objects that the actor may read.
pub trait List: Clone + Eq + Hash + Send + Sync + 'static {
    type Item: Clone + Send + Sync + 'static;
    /// The key that orders items and is encoded in cursors.
    type Key: CursorKey + Eq + Hash + Ord + Send + Sync + 'static;

    /// The mark in the cursors of this list.
    fn cursors(&self) -> Cursors;

    /// Which way the list is ordered by its key.
    fn direction(&self) -> Direction;

    /// The key of an item.
    fn key(&self, item: &Self::Item) -> Self::Key;

    /// Reads up to [`Page::fetch`] items of each list, in any order.
    ///
    /// # Errors
    /// Those of the database.
    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Self::Item>>>;

    /// The number of items of each list, counted up to one more than [`COUNTED`](crate::connection::COUNTED).
    ///
    /// # Errors
    /// Those of the database.
    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>>;

    /// The requested pages, in order.
    ///
    /// # Errors
    /// Those of the database.
    fn pages(
        conn: &mut Conn,
        actor: &Actor,
        asked: &[Asked<Self>],
    ) -> Result<Vec<Slice<Self::Item>>> {
        let found = Self::read(conn, actor, asked)?;
        let slices = asked.iter().zip(found).map(|((list, page), items)| {
            page.ordered_slice(items, list.direction(), |item| list.key(item))
        });
        Ok(slices.collect())
    }
}

/// A list and the requested page of it.
pub type Asked<L> = (L, Page<<L as List>::Key>);

/// Pages of lists of one kind.
pub struct PageOf<L>(PhantomData<fn() -> L>);

impl<L: List> Batch for PageOf<L> {
    type Key = Asked<L>;
    type Value = Slice<L::Item>;

    async fn load(
        app: &App,
        actor: Actor,
        asked: Vec<Asked<L>>,
    ) -> Result<HashMap<Asked<L>, Slice<L::Item>>> {
        app.db
            .read(move |conn| {
                let slices = L::pages(conn, &actor, &asked)?;
                Ok(asked.into_iter().zip(slices).collect())
            })
            .await
    }
}

/// Totals of lists of one kind.
pub struct TotalOf<L>(PhantomData<fn() -> L>);

impl<L: List> Batch for TotalOf<L> {
    type Key = L;
    type Value = i64;

    async fn load(app: &App, actor: Actor, lists: Vec<L>) -> Result<HashMap<L, i64>> {
        app.db
            .read(move |conn| {
                let totals = L::count(conn, &actor, &lists)?;
                Ok(lists.into_iter().zip(totals).collect())
            })
            .await
    }
}
