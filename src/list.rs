//! One way to answer a list: a [`List`] says what it consists of, and pages, totals and cursors follow. All lists on
//! one level of a document are read together.

use std::{collections::HashMap, hash::Hash, marker::PhantomData};

use async_graphql::TypeDirective;

use crate::{
    access::Actor,
    app::App,
    budget,
    connection::{CursorKey, Cursors, Direction, Page, Slice},
    db::Conn,
    error::Result,
    ids::UserId,
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

    /// The bytes of an item's text, if its text is read with it.
    const TEXT: Option<fn(&Self::Item) -> usize> = None;

    /// The mark in the cursors of this list.
    fn cursors(&self) -> Cursors;

    /// Which way the list is ordered by its key.
    fn direction(&self) -> Direction;

    /// The key of an item.
    fn key(&self, item: &Self::Item) -> Self::Key;

    /// The list that has the same items and is counted in its place, so that equal lists are counted once.
    #[must_use]
    fn to_count(&self) -> Self {
        self.clone()
    }

    /// Reads up to [`Page::fetch`] items of each list, in any order.
    ///
    /// # Errors
    /// Those of the database.
    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Self::Item>>>;

    /// The number of items of each list. Each part is counted up to one more than [`COUNTED`](crate::connection::COUNTED).
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

/// A part of a list of which rows can be hidden. An index leads to each part, so that reading never passes rows that
/// the actor may not see, however many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Visible,
    /// The hidden rows that the actor may see: all of them for admins, their own for others.
    Hidden,
}

impl Part {
    const ALL: [Self; 2] = [Self::Visible, Self::Hidden];

    /// The parts of a list that `actor` may see, where all rows are by `author`, if one is given.
    #[must_use]
    pub fn of(actor: &Actor, author: Option<UserId>) -> &'static [Self] {
        let may_see_hidden = match author {
            _ if actor.is_admin() => true,
            Some(author) => actor.id() == Some(author),
            None => actor.id().is_some(),
        };
        if may_see_hidden {
            &Self::ALL
        } else {
            &[Self::Visible]
        }
    }
}

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
        let limit = app.config.limits.answer;
        app.db
            .read(move |conn| {
                let (mut found, mut bytes, mut rest) = (HashMap::new(), 0, &asked[..]);
                while !rest.is_empty() {
                    let (part, others) = rest.split_at(at_once(rest));
                    rest = others;
                    let slices = L::pages(conn, &actor, part)?;
                    let items = slices.iter().flat_map(|slice| &slice.items);
                    bytes += L::TEXT.map_or(0, |text| items.map(text).sum::<usize>());
                    if bytes > limit {
                        return Err(budget::over(limit));
                    }
                    found.extend(part.iter().cloned().zip(slices));
                }
                Ok(found)
            })
            .await
    }
}

/// How many of these pages are read together. Where items have text those of a thousand items are, at least one page, so
/// that no more than this is read beyond the limit of a response.
fn at_once<L: List>(asked: &[Asked<L>]) -> usize {
    if L::TEXT.is_none() {
        return asked.len();
    }
    let mut items = 0;
    let fits = |(_, page): &&Asked<L>| {
        items += page.limit;
        items <= 1_000
    };
    asked.iter().take_while(fits).count().max(1)
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
                Ok(lists.iter().cloned().zip(totals).collect())
            })
            .await
    }
}
