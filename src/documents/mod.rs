//! Documents: what grows without bound, such as chats. In an SQLite file of its own, or in MongoDB. A collection is typed
//! and declares its indexes. There are no transactions: one document at a time changes, under a condition.

mod mongo;
mod sqlite;

use std::{collections::HashSet, marker::PhantomData, ops::Bound, sync::Arc};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};

use self::{mongo::Mongo, sqlite::Sqlite};
use crate::{
    config::{Config, Fault},
    error::{Error, Result},
    ids::{Id, Kind},
};

/// The most bytes of a document.
pub const LARGEST: u64 = 1 << 20;

const UNAVAILABLE: Error = Error::Unavailable {
    backend: "documents",
};

/// A type of document. Its id is its field `_id`, a text. Optional fields of an index are left out when they are absent
/// (`skip_serializing_if`). Numbers are `i64` or `f64`.
pub trait Document: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the collection, of a-z and _, which never changes.
    const COLLECTION: &'static str;
    /// All indexes beside that of `_id`. New ones are made when the program starts; names never change their meaning.
    const INDEXES: &'static [Index];
}

/// An index over some fields, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    name: &'static str,
    fields: &'static [&'static str],
    is_unique: bool,
    /// Documents that lack the last field are not in it.
    is_partial: bool,
}

impl Index {
    #[must_use]
    pub const fn new(name: &'static str, fields: &'static [&'static str]) -> Self {
        Self {
            name,
            fields,
            is_unique: false,
            is_partial: false,
        }
    }

    /// What it is called, as in [`Inserted::duplicate`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// No two documents have the same values in all fields. Documents that lack the last field are left out.
    #[must_use]
    pub const fn unique(name: &'static str, fields: &'static [&'static str]) -> Self {
        Self {
            is_unique: true,
            is_partial: true,
            ..Self::new(name, fields)
        }
    }

    /// The same, for a last field that every document has.
    #[must_use]
    pub const fn unique_in_all(name: &'static str, fields: &'static [&'static str]) -> Self {
        Self {
            is_unique: true,
            ..Self::new(name, fields)
        }
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Int(i64),
    Text(String),
    Bool(bool),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl<K: Kind> From<Id<K>> for Value {
    fn from(value: Id<K>) -> Self {
        Self::Text(value.to_string())
    }
}

/// A range of an index: its first fields are equal to something, the next one lies between bounds. In the order of the
/// index.
#[derive(Clone, Debug)]
pub struct Range {
    index: Index,
    equal: Vec<Value>,
    from: Bound<Value>,
    to: Bound<Value>,
    is_backwards: bool,
    limit: u32,
}

impl Range {
    /// The first `limit` documents of the whole index.
    #[must_use]
    pub fn of(index: Index, limit: u32) -> Self {
        Self {
            index,
            equal: Vec::new(),
            from: Bound::Unbounded,
            to: Bound::Unbounded,
            is_backwards: false,
            limit,
        }
    }

    /// Only those whose next field of the index is equal to this.
    #[must_use]
    pub fn equal(mut self, value: impl Into<Value>) -> Self {
        self.equal.push(value.into());
        self
    }

    /// Only those whose next field is greater.
    #[must_use]
    pub fn above(mut self, value: impl Into<Value>) -> Self {
        self.from = Bound::Excluded(value.into());
        self
    }

    /// Only those whose next field is greater or equal.
    #[must_use]
    pub fn at_least(mut self, value: impl Into<Value>) -> Self {
        self.from = Bound::Included(value.into());
        self
    }

    /// Only those whose next field is smaller.
    #[must_use]
    pub fn below(mut self, value: impl Into<Value>) -> Self {
        self.to = Bound::Excluded(value.into());
        self
    }

    /// Only those whose next field is smaller or equal.
    #[must_use]
    pub fn at_most(mut self, value: impl Into<Value>) -> Self {
        self.to = Bound::Included(value.into());
        self
    }

    /// From the end of the range.
    #[must_use]
    pub fn backwards(mut self) -> Self {
        self.is_backwards = true;
        self
    }

    /// The fields that are compared, with their signs as in SQL.
    fn comparisons(&self) -> Vec<(&'static str, Sign, &Value)> {
        let fields = self.index.fields;
        let mut all: Vec<_> = fields
            .iter()
            .zip(&self.equal)
            .map(|(field, value)| (*field, Sign::Equal, value))
            .collect();
        let Some(next) = fields.get(self.equal.len()) else {
            return all;
        };
        match &self.from {
            Bound::Excluded(value) => all.push((*next, Sign::Above, value)),
            Bound::Included(value) => all.push((*next, Sign::AtLeast, value)),
            Bound::Unbounded => {}
        }
        match &self.to {
            Bound::Excluded(value) => all.push((*next, Sign::Below, value)),
            Bound::Included(value) => all.push((*next, Sign::AtMost, value)),
            Bound::Unbounded => {}
        }
        all
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Equal,
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// What became of an insertion of several documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// So many, from the first on, are in the collection.
    pub count: usize,
    /// The unique index that refused the next one; `_id` for that of the id. None if all were inserted.
    pub duplicate: Option<&'static str>,
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    Done,
    /// There is no such document, or the condition does not hold.
    Unmet,
    /// This unique index has the values already.
    Duplicate(&'static str),
}

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Documents(Arc<Inner>);

struct Inner {
    backend: Backend,
    /// Collections whose indexes are there.
    ready: Mutex<HashSet<&'static str>>,
}

enum Backend {
    Sqlite(Sqlite),
    Mongo(Mongo),
}

/// What both backends do, for documents as JSON or BSON.
macro_rules! either {
    ($documents:expr, $method:ident$(::<$document:ty>)?($($argument:expr),*)) => {
        match &$documents.0.backend {
            Backend::Sqlite(sqlite) => sqlite.$method$(::<$document>)?($($argument),*).await,
            Backend::Mongo(mongo) => {
                mongo::in_time(mongo.$method$(::<$document>)?($($argument),*)).await
            }
        }
    };
}

impl Documents {
    /// Opens the MongoDB that `config` names, or a file in its volume.
    ///
    /// # Errors
    /// The setting that does not work.
    pub async fn open(config: &Config) -> Result<Self, Fault> {
        let backend = if config.mongodb_url.expose().is_empty() {
            Backend::Sqlite(Sqlite::open(config)?)
        } else {
            Backend::Mongo(Mongo::open(config).await?)
        };
        Ok(Self(Arc::new(Inner {
            backend,
            ready: Mutex::default(),
        })))
    }

    /// The collection of `D`, with its indexes.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the backend cannot be reached.
    pub async fn collection<D: Document>(&self) -> Result<Collection<D>> {
        if !self.0.ready.lock().contains(D::COLLECTION) {
            match &self.0.backend {
                Backend::Sqlite(sqlite) => sqlite.prepare(D::COLLECTION, D::INDEXES).await?,
                // Making an index of what is there already takes its time.
                Backend::Mongo(mongo) => mongo.prepare(D::COLLECTION, D::INDEXES).await?,
            }
            self.0.ready.lock().insert(D::COLLECTION);
        }
        Ok(Collection {
            documents: self.clone(),
            of: PhantomData,
        })
    }

    /// The name of the backend in use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.0.backend {
            Backend::Sqlite(_) => "documents",
            Backend::Mongo(_) => "mongodb",
        }
    }

    /// # Errors
    /// `UNAVAILABLE` when the backend does not answer.
    pub async fn ping(&self) -> Result<()> {
        either!(self, ping())
    }
}

/// All documents of one type. All methods fail with `UNAVAILABLE` when the backend cannot be reached.
pub struct Collection<D> {
    documents: Documents,
    of: PhantomData<fn() -> D>,
}

impl<D: Document> Collection<D> {
    /// Inserts documents in this order; some thousands at most. When one is refused by a unique index, those before it stay and those after it
    /// are not inserted. When the server or this program ends in the middle, those that are there come first, too.
    ///
    /// # Errors
    /// `TOO_LARGE` for a document of more than [`LARGEST`] bytes, before anything is inserted. After `UNAVAILABLE` some
    /// may have been inserted.
    pub async fn insert(&self, documents: &[D]) -> Result<Inserted> {
        either!(self.documents, insert::<D>(documents))
    }

    /// The document with this id.
    ///
    /// # Errors
    /// See [`Collection`].
    pub async fn get(&self, id: &str) -> Result<Option<D>> {
        Ok(self.get_many(&[id.to_owned()]).await?.pop())
    }

    /// The documents with these ids, in any order.
    ///
    /// # Errors
    /// See [`Collection`].
    pub async fn get_many(&self, ids: &[String]) -> Result<Vec<D>> {
        either!(self.documents, get_many::<D>(ids))
    }

    /// The documents of a range.
    ///
    /// # Errors
    /// See [`Collection`].
    pub async fn find(&self, range: Range) -> Result<Vec<D>> {
        either!(self.documents, find::<D>(range))
    }

    /// The documents of each range, in the order of the ranges, read together.
    ///
    /// # Errors
    /// See [`Collection`].
    pub async fn find_each(&self, ranges: Vec<Range>) -> Result<Vec<Vec<D>>> {
        either!(self.documents, find_each::<D>(ranges))
    }

    /// Replaces the document that has the same id, if its fields are equal to these: in one step, so that of several who
    /// expect the same, one succeeds.
    ///
    /// # Errors
    /// `TOO_LARGE`.
    pub async fn replace(
        &self,
        document: &D,
        expected: &[(&'static str, Value)],
    ) -> Result<Replaced> {
        either!(self.documents, replace::<D>(document, expected))
    }

    /// Deletes the documents of a range and returns how many. Repeat it until there are none.
    ///
    /// # Errors
    /// See [`Collection`].
    pub async fn delete(&self, range: Range) -> Result<u64> {
        either!(self.documents, delete(D::COLLECTION, range))
    }
}

/// The unique index that a message of the backend names.
fn duplicate_of<D: Document>(message: &str) -> &'static str {
    let unique = D::INDEXES.iter().filter(|index| index.is_unique);
    let named = unique.filter(|index| message.contains(index.name));
    // The longest, for one name may be a part of another.
    let named = named.max_by_key(|index| index.name.len());
    named.map_or("_id", |index| index.name)
}
