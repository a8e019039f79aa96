//! Documents in an SQLite file of their own: a table per collection with JSON in it, and indexes over JSON paths. Reads
//! block threads that nothing else needs: neither the runtime's nor the relational database's.

use std::time::Duration;

use diesel::{
    QueryableByName, RunQueryDsl,
    query_builder::{BoxedSqlQuery, SqlQuery},
    result::{DatabaseErrorKind, Error as DieselError},
    sql_query,
    sql_types::{BigInt, Text},
    sqlite::{Sqlite as Backend, SqliteConnection},
};

use super::{
    Document, Index, Inserted, LARGEST, Range, Replaced, Sign, UNAVAILABLE, Value, duplicate_of,
};
use crate::{
    config::{Config, Fault, Synchronous},
    db::{
        Conn,
        sqlite::{Files, Readers, Writer, connect, create_private},
    },
    error::{Error, Result},
};

/// The reads that run at the same time.
const READERS: usize = 4;

pub(super) struct Sqlite {
    files: Files,
    writer: Writer,
    readers: Readers<SqliteConnection>,
    /// How long a read may take.
    limit: Duration,
}

#[derive(QueryableByName)]
struct Body {
    #[diesel(sql_type = Text)]
    body: String,
}

type Query = BoxedSqlQuery<'static, Backend, SqlQuery>;

impl Sqlite {
    pub(super) fn open(config: &Config) -> Result<Self, Fault> {
        let path = config.volume_dir.join("database").join("documents.sqlite");
        let fault = |e: &dyn std::fmt::Display| {
            Fault::new("VOLUME_DIR", format!("cannot open {}: {e}", path.display()))
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| fault(&e))?;
        }
        create_private(&path).map_err(|e| fault(&e))?;
        let synchronous = match config.sqlite_synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        let pragmas = format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};");
        let writer = connect(&path, &pragmas).map_err(|e| fault(&e))?;
        let connect = || connect(&path, "PRAGMA query_only = ON;");
        let readers = Readers::open(READERS, connect).map_err(|e| fault(&e))?;
        let files = Files::of(&path).map_err(|e| fault(&e))?;
        let writer = Conn::Sqlite(writer);
        Ok(Self {
            writer: Writer::start("document-writer", writer, files.clone())
                .map_err(|e| fault(&e))?,
            files,
            readers,
            limit: config.limits.request_time,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.read_apart(self.limit, work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer
            .write(move |conn| match conn {
                Conn::Sqlite(conn) => work(conn),
                Conn::Mysql(_) => Err(UNAVAILABLE),
            })
            .await
    }

    pub(super) async fn ping(&self) -> Result<()> {
        self.files.check()?;
        self.read(|conn| {
            sql_query("SELECT 1").execute(conn)?;
            Ok(())
        })
        .await
    }

    pub(super) async fn prepare(
        &self,
        collection: &'static str,
        indexes: &'static [Index],
    ) -> Result<()> {
        self.write(move |conn| {
            let table = format!(
                "CREATE TABLE IF NOT EXISTS {collection} (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)"
            );
            sql_query(table).execute(conn)?;
            for index in indexes {
                let unique = if index.is_unique { "UNIQUE" } else { "" };
                let fields: Vec<_> = index.fields.iter().map(|field| path(field)).collect();
                let create = format!(
                    "CREATE {unique} INDEX IF NOT EXISTS {collection}_{} ON {collection} ({})",
                    index.name,
                    fields.join(", ")
                );
                sql_query(create).execute(conn)?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn insert<D: Document>(&self, documents: &[D]) -> Result<Inserted> {
        let rows: Result<Vec<_>> = documents.iter().map(encode).collect();
        let rows = rows?;
        self.write(move |conn| {
            let statement = format!("INSERT INTO {} (id, body) VALUES (?, ?)", D::COLLECTION);
            let mut count = 0;
            for (id, body) in rows {
                let inserted = sql_query(&statement)
                    .bind::<Text, _>(id)
                    .bind::<Text, _>(body)
                    .execute(conn);
                if let Some(duplicate) = refused::<D>(inserted)? {
                    let duplicate = Some(duplicate);
                    return Ok(Inserted { count, duplicate });
                }
                count += 1;
            }
            let duplicate = None;
            Ok(Inserted { count, duplicate })
        })
        .await
    }

    pub(super) async fn get_many<D: Document>(&self, ids: &[String]) -> Result<Vec<D>> {
        let ids = ids.to_vec();
        self.read(move |conn| {
            let marks = vec!["?"; ids.len()].join(", ");
            let statement = format!("SELECT body FROM {} WHERE id IN ({marks})", D::COLLECTION);
            let mut query = sql_query(statement).into_boxed();
            for id in ids {
                query = query.bind::<Text, _>(id);
            }
            decode(query.load(conn)?)
        })
        .await
    }

    pub(super) async fn find<D: Document>(&self, range: Range) -> Result<Vec<D>> {
        self.read(move |conn| found(conn, &range)).await
    }

    pub(super) async fn find_each<D: Document>(&self, ranges: Vec<Range>) -> Result<Vec<Vec<D>>> {
        self.read(move |conn| ranges.iter().map(|range| found(conn, range)).collect())
            .await
    }

    pub(super) async fn replace<D: Document>(
        &self,
        document: &D,
        expected: &[(&'static str, Value)],
    ) -> Result<Replaced> {
        let (id, body) = encode(document)?;
        let expected = expected.to_vec();
        self.write(move |conn| {
            let conditions: String = expected
                .iter()
                .map(|(field, _)| format!(" AND {} = ?", path(field)))
                .collect();
            let statement = format!(
                "UPDATE {} SET body = ? WHERE id = ?{conditions}",
                D::COLLECTION
            );
            let mut query = sql_query(statement)
                .into_boxed()
                .bind::<Text, _>(body)
                .bind::<Text, _>(id);
            for (_, value) in expected {
                query = bind(query, value);
            }
            let replaced = query.execute(conn);
            let is_done = matches!(replaced, Ok(1));
            Ok(match refused::<D>(replaced)? {
                Some(duplicate) => Replaced::Duplicate(duplicate),
                None if is_done => Replaced::Done,
                None => Replaced::Unmet,
            })
        })
        .await
    }

    pub(super) async fn delete(&self, collection: &'static str, range: Range) -> Result<u64> {
        self.write(move |conn| {
            let before = format!("DELETE FROM {collection} WHERE rowid IN (SELECT rowid FROM ");
            Ok(ranged(&before, collection, &range, ")").execute(conn)? as u64)
        })
        .await
    }
}

/// The value of a field, as the indexes have it.
fn path(field: &str) -> String {
    format!("json_extract(body, '$.{field}')")
}

fn found<D: Document>(conn: &mut SqliteConnection, range: &Range) -> Result<Vec<D>> {
    decode(ranged("SELECT body FROM ", D::COLLECTION, range, "").load(conn)?)
}

fn ranged(before: &str, collection: &str, range: &Range, after: &str) -> Query {
    let comparisons = range.comparisons();
    let conditions: Vec<_> = comparisons
        .iter()
        .map(|(field, sign, _)| format!("{} {} ?", path(field), symbol(*sign)))
        .collect();
    let conditions = match conditions.join(" AND ") {
        none if none.is_empty() => String::new(),
        some => format!(" WHERE {some}"),
    };
    let direction = if range.is_backwards { "DESC" } else { "ASC" };
    // Without the fields that are equal: SQLite would sort, since it does not see that such expressions are constant.
    let order = range.index.fields.iter().skip(range.equal.len());
    let order: Vec<_> = order
        .map(|field| format!("{} {direction}", path(field)))
        .collect();
    let order = match order.join(", ") {
        none if none.is_empty() => String::new(),
        some => format!(" ORDER BY {some}"),
    };
    let statement = format!("{before}{collection}{conditions}{order} LIMIT ?{after}");
    let mut query = sql_query(statement).into_boxed();
    for (_, _, value) in comparisons {
        query = bind(query, value.clone());
    }
    query.bind::<BigInt, _>(i64::from(range.limit))
}

fn symbol(sign: Sign) -> &'static str {
    match sign {
        Sign::Equal => "=",
        Sign::Above => ">",
        Sign::AtLeast => ">=",
        Sign::Below => "<",
        Sign::AtMost => "<=",
    }
}

fn bind(query: Query, value: Value) -> Query {
    match value {
        Value::Int(value) => query.bind::<BigInt, _>(value),
        Value::Text(value) => query.bind::<Text, _>(value),
        // As in the JSON functions.
        Value::Bool(value) => query.bind::<BigInt, _>(i64::from(value)),
    }
}

/// The id and the JSON of a document.
fn encode<D: Document>(document: &D) -> Result<(String, String)> {
    let value = serde_json::to_value(document).map_err(|error| Error::internal(error))?;
    let id = value["_id"]
        .as_str()
        .ok_or_else(|| Error::internal("a document has no _id"))?;
    let (id, body) = (id.to_owned(), value.to_string());
    if body.len() as u64 > LARGEST {
        return Err(Error::TooLarge { limit: LARGEST });
    }
    Ok((id, body))
}

fn decode<D: Document>(bodies: Vec<Body>) -> Result<Vec<D>> {
    let documents = bodies.iter().map(|body| serde_json::from_str(&body.body));
    documents
        .collect::<Result<_, _>>()
        .map_err(|error| Error::internal(error))
}

/// The unique index that refused a statement.
fn refused<D: Document>(done: diesel::QueryResult<usize>) -> Result<Option<&'static str>> {
    match done {
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info)) => {
            Ok(Some(duplicate_of::<D>(info.message())))
        }
        done => Ok(done.map(|_| None)?),
    }
}
