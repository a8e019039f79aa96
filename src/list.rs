//! One way to answer a list: what a list is made of is said once, by its [`List`]; pages, totals and cursors follow, read
//! for all lists of one level of the document at once.

use std::{collections::HashMap, hash::Hash, marker::PhantomData};

use crate::{
    access::Actor,
    app::App,
    connection::{CursorKey, Cursors, Direction, Page, Slice},
    db::Conn,
    error::Result,
    loader::Batch,
};

/// A list that can grow, as far as the actor may read it.
pub trait List: Clone + Eq + Hash + Send + Sync + 'static {
    type Item: Clone + Send + Sync + 'static;
    /// What tells an item's place in the list.
    type Key: CursorKey + Eq + Hash + Ord + Send + Sync + 'static;

    /// What marks the cursors of this list.
    fn cursors(&self) -> Cursors;

    /// Which way the list is ordered by its key.
    fn direction(&self) -> Direction;

    /// The place of an item.
    fn key(&self, item: &Self::Item) -> Self::Key;

    /// Reads what [`Page::fetch`] says of each list, in any order.
    ///
    /// # Errors
    /// Those of the database.
    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Self::Item>>>;

    /// How many items each list has, up to one more than [`COUNTED`](crate::connection::COUNTED).
    ///
    /// # Errors
    /// Those of the database.
    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>>;

    /// The pages of lists, in the order of the lists.
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

/// A list and the page of it that is asked for.
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
