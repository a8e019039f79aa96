//! Lists that can grow, as Relay connections (<https://relay.dev/graphql/connections.htm>) over keyset cursors: a page
//! costs the same at any depth.

use std::{borrow::Cow, marker::PhantomData};

use async_graphql::{
    Context, Object, ObjectType, TypeDirective, TypeName,
    connection::{
        ConnectionNameType, DefaultConnectionName, DefaultEdgeName, Edge, EdgeNameType,
        EmptyFields, PageInfo,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    direct::{Direct, DirectList},
    error::{Result, Rule},
    ids::{Id, Kind},
    input::Violations,
};

/// The default number of items of a page.
const DEFAULT_PAGE: usize = 20;

/// The mark in the cursors of a list, so that one list refuses the cursors of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursors {
    Users,
    Boards,
    BoardMembers,
    /// In one of several orders, each with its own cursors.
    Posts(u64),
    Comments,
    CommentsOfUser,
    Jobs,
    ChatSessions,
    ChatParticipants,
    Chats,
    ChatEvents,
    AiModels,
    AiLogs,
}

impl Cursors {
    /// The number of the list and of its order. They never change.
    fn numbers(self) -> (u8, u64) {
        match self {
            Self::Users => (1, 0),
            Self::Boards => (2, 0),
            Self::BoardMembers => (3, 0),
            Self::Posts(order) => (4, order),
            Self::Comments => (5, 0),
            Self::CommentsOfUser => (6, 0),
            Self::Jobs => (7, 0),
            Self::ChatSessions => (8, 0),
            Self::ChatParticipants => (9, 0),
            Self::Chats => (10, 0),
            Self::ChatEvents => (11, 0),
            Self::AiModels => (12, 0),
            Self::AiLogs => (13, 0),
        }
    }
}

/// `first`, `after`, `last` and `before`, as received.
#[derive(Debug, Default)]
pub struct PageArgs {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
}

/// The part of a list to read, by keys `K`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page<K> {
    pub limit: usize,
    /// Whether to read from the end, or backwards from `before`.
    pub backwards: bool,
    pub after: Option<K>,
    pub before: Option<K>,
}

impl PageArgs {
    /// The arguments, in the order of the schema.
    #[must_use]
    pub fn new(
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Self {
        Self {
            first,
            after,
            last,
            before,
        }
    }

    /// Checks the arguments. At most `most` items may be asked for.
    ///
    /// # Errors
    /// `INVALID` with a violation for each invalid argument.
    pub fn page<K: CursorKey>(self, cursors: Cursors, most: u32) -> Result<Page<K>> {
        let mut violations = Violations::default();
        let mut count = |field: &str, value: Option<i32>| {
            let given = value.map(|n| match usize::try_from(n) {
                Ok(n) if (1..=most as usize).contains(&n) => Ok(n),
                _ => Err(Rule::OutOfRange {
                    min: 1,
                    max: most.into(),
                }),
            });
            violations.field(field, given.transpose()).flatten()
        };
        let first = count("first", self.first);
        let last = count("last", self.last);
        if self.first.is_some() && self.last.is_some() {
            violations.push(Rule::Exclusive { other: "last" }.at("first"));
        }
        let mut cursor = |field: &str, text: Option<String>| {
            let given = text.map(|text| decode(cursors, &text).ok_or(Rule::Cursor));
            violations.field(field, given.transpose()).flatten()
        };
        let after = cursor("after", self.after);
        let before = cursor("before", self.before);
        violations.invalid()?;
        Ok(Page {
            limit: last.or(first).unwrap_or(DEFAULT_PAGE.min(most as usize)),
            backwards: last.is_some(),
            after,
            before,
        })
    }
}

impl<K> Page<K> {
    /// The `LIMIT` of the query: one more than requested, which shows whether there are more items.
    #[must_use]
    pub fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX - 1) + 1
    }

    /// This page, by a part of the key.
    #[must_use]
    pub fn by<P>(&self, part: impl Fn(&K) -> P) -> Page<P> {
        Page {
            limit: self.limit,
            backwards: self.backwards,
            after: self.after.as_ref().map(&part),
            before: self.before.as_ref().map(&part),
        }
    }

    /// Makes a slice of the items that were read: at most [`Page::fetch`], in reverse order when reading backwards.
    #[must_use]
    pub fn slice<T>(&self, mut items: Vec<T>) -> Slice<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        if self.backwards {
            items.reverse();
            Slice {
                items,
                has_previous: more,
                has_next: self.before.is_some(),
            }
        } else {
            Slice {
                items,
                has_previous: self.after.is_some(),
                has_next: more,
            }
        }
    }
}

impl<K: Ord> Page<K> {
    /// As [`Page::slice`], for items in any order. `key` gives an item's key in a list ordered this way.
    pub fn ordered_slice<T>(
        &self,
        mut items: Vec<T>,
        direction: Direction,
        key: impl Fn(&T) -> K,
    ) -> Slice<T> {
        self.sort(&mut items, direction, key);
        self.slice(items)
    }

    /// Sorts `items` of a list ordered this way as the page is read: what is on it comes first.
    pub fn sort<T>(&self, items: &mut [T], direction: Direction, key: impl Fn(&T) -> K) {
        match direction.read(self.backwards) {
            Direction::Asc => items.sort_by_key(key),
            Direction::Desc => items.sort_by_key(|item| std::cmp::Reverse(key(item))),
        }
    }
}

/// A part of a list, in the list's order.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    pub items: Vec<T>,
    pub has_previous: bool,
    pub has_next: bool,
}

impl<T> Default for Slice<T> {
    /// Empty, with nothing before or after it.
    fn default() -> Self {
        Self {
            items: Vec::new(),
            has_previous: false,
            has_next: false,
        }
    }
}

/// Items of a list are counted up to this number.
pub const COUNTED: i64 = 10_000;

/// What a field or an argument costs that has much read and little returned, in objects.
#[TypeDirective(
    name = "cost",
    location = "FieldDefinition",
    location = "ArgumentDefinition"
)]
pub fn cost(weight: String) {}

/// The weight of what reads as much as [`COUNTED`] rows.
pub const SEARCHING: &str = "100";

/// The total of a list, counted when it is selected.
pub struct Total(Counting);

type Counting =
    Box<dyn for<'a> Fn(&'a Context<'a>) -> BoxFuture<'a, Result<Option<i64>>> + Send + Sync>;

impl Total {
    /// The total that `counting` returns. It may stop above [`COUNTED`].
    pub fn new(
        counting: impl for<'a> Fn(&'a Context<'a>) -> BoxFuture<'a, Result<Option<i64>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Box::new(counting))
    }
}

/// A part of a list, after Relay's specification: <https://relay.dev/graphql/connections.htm>.
///
/// It replaces the library's type, whose lists are not resolved directly.
pub struct Connection<
    T,
    Name = DefaultConnectionName,
    EdgeName = DefaultEdgeName,
    Extra = EmptyFields,
> where
    T: ObjectType,
    EdgeName: EdgeNameType,
    Extra: ObjectType,
{
    edges: Vec<ConnectionEdge<T, EdgeName, Extra>>,
    has_previous: bool,
    has_next: bool,
    total: Total,
    name: PhantomData<Name>,
}

/// An edge of a [`Connection`].
pub type ConnectionEdge<T, EdgeName = DefaultEdgeName, Extra = EmptyFields> =
    Edge<String, Direct<T>, Extra, EdgeName>;

#[Object(name_type)]
impl<T, Name, EdgeName, Extra> Connection<T, Name, EdgeName, Extra>
where
    T: ObjectType,
    Name: ConnectionNameType,
    EdgeName: EdgeNameType,
    Extra: ObjectType,
{
    /// Information to aid in pagination.
    async fn page_info(&self) -> Direct<PageInfo> {
        Direct(PageInfo {
            has_previous_page: self.has_previous,
            has_next_page: self.has_next,
            start_cursor: self.edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.clone()),
        })
    }

    /// A list of edges.
    async fn edges(&self) -> DirectList<'_, ConnectionEdge<T, EdgeName, Extra>> {
        DirectList(self.edges.iter().collect())
    }

    /// A list of nodes.
    async fn nodes(&self) -> DirectList<'_, T> {
        DirectList(self.edges.iter().map(|edge| &edge.node.0).collect())
    }

    /// How many items the whole list has; null above 10 000.
    #[graphql(directive = cost::apply(SEARCHING.to_owned()))]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        let counted = (self.total.0)(ctx).await?.filter(|count| *count <= COUNTED);
        Ok(counted.and_then(|count| i32::try_from(count).ok()))
    }
}

impl<T, Name, EdgeName, Extra> TypeName for Connection<T, Name, EdgeName, Extra>
where
    T: ObjectType,
    Name: ConnectionNameType,
    EdgeName: EdgeNameType,
    Extra: ObjectType,
{
    fn type_name() -> Cow<'static, str> {
        Name::type_name::<T>().into()
    }
}

impl<T> Slice<T> {
    /// The connection of this slice, with edges made by `edge`.
    pub fn connection<N, Name, EdgeName, Extra>(
        self,
        total: Total,
        edge: impl Fn(T) -> ConnectionEdge<N, EdgeName, Extra>,
    ) -> Direct<Connection<N, Name, EdgeName, Extra>>
    where
        N: ObjectType,
        EdgeName: EdgeNameType,
        Extra: ObjectType,
    {
        Direct(Connection {
            edges: self.items.into_iter().map(edge).collect(),
            has_previous: self.has_previous,
            has_next: self.has_next,
            total,
            name: PhantomData,
        })
    }
}

/// Which way a list is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum)]
#[graphql(name = "OrderDirection")]
pub enum Direction {
    /// The smallest, the oldest or the alphabetically first comes first.
    Asc,
    /// The greatest or the newest comes first.
    Desc,
}

impl Direction {
    /// The direction to read in: the list's own, or the opposite when reading backwards.
    #[must_use]
    pub fn read(self, backwards: bool) -> Self {
        match (self, backwards) {
            (Self::Asc, false) | (Self::Desc, true) => Self::Asc,
            (Self::Desc, false) | (Self::Asc, true) => Self::Desc,
        }
    }
}

impl<K: Clone> Page<K> {
    /// The keys that items must be greater and smaller than, in a list ordered this way.
    pub fn bounds(&self, direction: Direction) -> (Option<K>, Option<K>) {
        match direction {
            Direction::Asc => (self.after.clone(), self.before.clone()),
            Direction::Desc => (self.before.clone(), self.after.clone()),
        }
    }
}

/// The key of an item in a list, which its cursor encodes.
pub trait CursorKey: Clone + Sized {
    fn write(&self, bytes: &mut Vec<u8>);
    /// Reads a key from exactly these bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl<K: Kind> CursorKey for Id<K> {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.uuid().as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self::from_uuid)
    }
}

impl CursorKey for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(bytes.to_vec()).ok()
    }
}

impl CursorKey for i64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl<K: Kind> CursorKey for (i64, Id<K>) {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0.to_be_bytes());
        self.1.write(bytes);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (value, id) = bytes.split_first_chunk()?;
        Some((i64::from_be_bytes(*value), Id::read(id)?))
    }
}

impl<K: Kind> CursorKey for (Timestamp, Id<K>) {
    fn write(&self, bytes: &mut Vec<u8>) {
        (self.0.micros(), self.1).write(bytes);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (micros, id) = CursorKey::read(bytes)?;
        Some((Timestamp::from_micros(micros), id))
    }
}

/// The cursor of the item with this key.
pub fn encode(cursors: Cursors, key: &impl CursorKey) -> String {
    let (number, order) = cursors.numbers();
    let mut bytes = Vec::with_capacity(40);
    bytes.push(number);
    bytes.extend_from_slice(&order.to_be_bytes());
    key.write(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The key of the item with this cursor, if it is one of this list.
#[must_use]
pub fn decode<K: CursorKey>(cursors: Cursors, text: &str) -> Option<K> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let (number, rest) = bytes.split_first()?;
    let (order, key) = rest.split_first_chunk()?;
    if (*number, u64::from_be_bytes(*order)) == cursors.numbers() {
        K::read(key)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Error, ids::PostId};

    fn page(args: PageArgs) -> Result<Page<PostId>> {
        args.page(Cursors::Posts(0), 100)
    }

    #[test]
    fn a_page_is_of_twenty_from_the_front_unless_told_otherwise() {
        let page = page(PageArgs::default()).unwrap();

        assert_eq!((page.limit, page.backwards), (20, false));
    }

    #[test]
    fn all_that_does_not_fit_is_told_at_once() {
        let foreign = encode(Cursors::Posts(1), &PostId::from_uuid(Uuid::nil()));
        let args = PageArgs {
            first: Some(0),
            last: Some(101),
            after: Some(foreign),
            before: Some("?".to_owned()),
        };

        let Err(Error::Invalid(violations)) = page(args) else {
            panic!("accepted")
        };

        let told: Vec<_> = violations
            .iter()
            .map(|v| (v.field.as_str(), v.rule.code()))
            .collect();
        assert_eq!(
            told,
            [
                ("first", "OUT_OF_RANGE"),
                ("last", "OUT_OF_RANGE"),
                ("first", "EXCLUSIVE"),
                ("after", "CURSOR"),
                ("before", "CURSOR")
            ]
        );
    }

    #[test]
    fn cursors_lead_back_to_their_keys() {
        let key = (
            Timestamp::from_micros(-5),
            PostId::from_uuid(Uuid::from_u128(9)),
        );

        assert_eq!(
            decode(Cursors::BoardMembers, &encode(Cursors::BoardMembers, &key)),
            Some(key)
        );
        assert_eq!(
            decode::<String>(Cursors::Users, &encode(Cursors::Users, &"마당".to_owned())),
            Some("마당".to_owned())
        );
    }

    #[test]
    fn a_slice_knows_what_lies_beside_it() {
        let page = page(PageArgs {
            last: Some(2),
            ..PageArgs::default()
        })
        .unwrap();

        let slice = page.slice(vec![9, 8, 7]);

        assert_eq!(slice.items, [8, 9]);
        assert!(slice.has_previous && !slice.has_next);
    }
}
