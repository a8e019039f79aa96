//! Lists that can grow, as Relay connections (<https://relay.dev/graphql/connections.htm>) over keyset cursors: a page
//! costs the same at any depth.

use async_graphql::{
    OutputType,
    connection::{Connection as Relay, ConnectionNameType, Edge, EdgeNameType, EmptyFields},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    error::{Result, Rule},
    ids::{Id, Kind},
    input::Violations,
};

/// How many items a page has when nobody says.
const DEFAULT_PAGE: usize = 20;

/// A list that has cursors of its own. The number stands in them, so that a cursor of one list is refused by another:
/// once given, it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    Users = 1,
    Boards = 2,
    BoardMembers = 3,
    Posts = 4,
    Comments = 5,
}

/// `first`, `after`, `last` and `before`, as they came.
#[derive(Debug, Default)]
pub struct PageArgs {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
}

/// What to read of a list whose place is told by a key `K`.
#[derive(Clone, Debug)]
pub struct Page<K> {
    pub limit: usize,
    /// Whether the items next to `before`, or the last ones, are asked for.
    pub backwards: bool,
    pub after: Option<K>,
    pub before: Option<K>,
}

impl PageArgs {
    /// Checks the arguments. At most `most` items may be asked for.
    ///
    /// # Errors
    /// `INVALID` with a violation for each argument that does not fit.
    pub fn page<K: CursorKey>(self, list: List, most: u32) -> Result<Page<K>> {
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
            let given = text.map(|text| decode(list, &text).ok_or(Rule::Cursor));
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
    /// The `LIMIT` to read with: one more than asked for tells whether there are more.
    #[must_use]
    pub fn fetch(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX - 1) + 1
    }

    /// Makes a slice of what was read: up to [`Page::fetch`] items, reversed when reading backwards.
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

/// A part of a list, in the list's order.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    pub items: Vec<T>,
    pub has_previous: bool,
    pub has_next: bool,
}

/// A connection of nodes `T`, whose edges may bear more fields.
pub type Connection<
    T,
    Name = async_graphql::connection::DefaultConnectionName,
    EdgeName = async_graphql::connection::DefaultEdgeName,
    Extra = EmptyFields,
> = Relay<String, T, EmptyFields, Extra, Name, EdgeName>;

impl<T> Slice<T> {
    /// The connection of this slice; `key` tells an item's place in `list`.
    pub fn connection<K: CursorKey>(self, list: List, key: impl Fn(&T) -> K) -> Connection<T>
    where
        T: OutputType,
    {
        self.connection_with(|item| Edge::new(encode(list, &key(&item)), item))
    }

    /// The connection of this slice, with edges as `edge` makes them.
    pub fn connection_with<N, Name, EdgeName, Extra>(
        self,
        edge: impl Fn(T) -> Edge<String, N, Extra, EdgeName>,
    ) -> Connection<N, Name, EdgeName, Extra>
    where
        N: OutputType,
        Name: ConnectionNameType,
        EdgeName: EdgeNameType,
        Extra: async_graphql::ObjectType,
    {
        let mut connection = Relay::new(self.has_previous, self.has_next);
        connection.edges.extend(self.items.into_iter().map(edge));
        connection
    }
}

/// Adds what `$page` asks for to the boxed `$query` of a list that is ordered by the unique column `$column`, `Asc` or
/// `Desc`.
#[macro_export]
macro_rules! keyset {
    ($query:expr, $page:expr, $column:expr, $order:ident) => {{
        let (page, ascending) = (
            &$page,
            $crate::connection::Order::$order == $crate::connection::Order::Asc,
        );
        let mut query = $query.limit(page.fetch());
        if let Some(after) = page.after.clone() {
            query = if ascending {
                query.filter($column.gt(after))
            } else {
                query.filter($column.lt(after))
            };
        }
        if let Some(before) = page.before.clone() {
            query = if ascending {
                query.filter($column.lt(before))
            } else {
                query.filter($column.gt(before))
            };
        }
        if ascending != page.backwards {
            query.order($column.asc())
        } else {
            query.order($column.desc())
        }
    }};
}
pub use keyset;

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Asc,
    Desc,
}

/// What tells an item's place in a list.
pub trait CursorKey: Clone + Sized {
    fn write(&self, bytes: &mut Vec<u8>);
    /// The key that was written, from exactly these bytes.
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

impl<K: Kind> CursorKey for (Timestamp, Id<K>) {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0.micros().to_be_bytes());
        self.1.write(bytes);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (micros, id) = bytes.split_first_chunk()?;
        Some((
            Timestamp::from_micros(i64::from_be_bytes(*micros)),
            Id::read(id)?,
        ))
    }
}

/// The cursor of the item with this key.
pub fn encode(list: List, key: &impl CursorKey) -> String {
    let mut bytes = Vec::with_capacity(32);
    bytes.push(list as u8);
    key.write(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode<K: CursorKey>(list: List, text: &str) -> Option<K> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    match bytes.split_first() {
        Some((tag, key)) if *tag == list as u8 => K::read(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Error, ids::PostId};

    fn page(args: PageArgs) -> Result<Page<PostId>> {
        args.page(List::Posts, 100)
    }

    #[test]
    fn a_page_is_of_twenty_from_the_front_unless_told_otherwise() {
        let page = page(PageArgs::default()).unwrap();

        assert_eq!((page.limit, page.backwards), (20, false));
    }

    #[test]
    fn all_that_does_not_fit_is_told_at_once() {
        let foreign = encode(List::Comments, &PostId::from_uuid(Uuid::nil()));
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
            decode(List::BoardMembers, &encode(List::BoardMembers, &key)),
            Some(key)
        );
        assert_eq!(
            decode::<String>(List::Users, &encode(List::Users, &"마당".to_owned())),
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
