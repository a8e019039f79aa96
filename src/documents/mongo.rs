//! Documents in MongoDB. Writes are acknowledged by a majority and are in its journal; reads see only such writes.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::{
    Client, Database, IndexModel,
    bson::{Bson, Document as Fields, RawDocumentBuf, doc},
    error::{Error as MongoError, ErrorKind, WriteFailure},
    options::{ClientOptions, IndexOptions, ReadConcern, WriteConcern},
};

use super::{
    Document, Index, Inserted, LARGEST, Range, Replaced, Sign, UNAVAILABLE, Value, duplicate_of,
};
use crate::{
    config::{Config, Fault},
    error::{Error, Result},
};

/// The database of a URL that names none.
const DATABASE: &str = "madang";
/// How long to look for a server that can answer, and to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an operation may take. All are short: they read or write so many documents by an index. An operation that is
/// given up closes its connection, whereupon the server ends it, too.
const OPERATION_TIME: Duration = Duration::from_secs(8);
/// How often the driver looks whether the server is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// The code of errors about unique indexes.
const DUPLICATE: i32 = 11_000;

/// The most ranges that are read with one command.
const TOGETHER: usize = 100;

/// A document of one of several ranges.
#[derive(serde::Deserialize)]
struct Part<D> {
    /// Of which range.
    at: i32,
    document: D,
}

pub(super) struct Mongo {
    database: Database,
}

impl Mongo {
    pub(super) async fn open(config: &Config) -> Result<Self, Fault> {
        // The library's messages might repeat the URL.
        let malformed = |_| {
            Fault::new(
                "MONGODB_URL",
                "is not of the form mongodb://USER:PASSWORD@HOST:PORT/DATABASE",
            )
        };
        let mut options = ClientOptions::parse(config.mongodb_url.expose())
            .await
            .map_err(malformed)?;
        options.app_name = Some("madang".to_owned());
        options.server_selection_timeout = Some(PATIENCE);
        options.connect_timeout = Some(PATIENCE);
        options.heartbeat_freq = Some(HEARTBEAT);
        options
            .max_pool_size
            .get_or_insert(u32::try_from(config.limits.mongodb_connections).unwrap_or(u32::MAX));
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern = Some(
            WriteConcern::builder()
                .w(mongodb::options::Acknowledgment::Majority)
                .journal(true)
                .build(),
        );
        let name = options.default_database.clone();
        let client = Client::with_options(options).map_err(malformed)?;
        let mongo = Self {
            database: client.database(name.as_deref().unwrap_or(DATABASE)),
        };
        let answer = mongo.database.run_command(doc! { "ping": 1 }).await;
        answer.map_err(|e| Fault::new("MONGODB_URL", sentence(&e)))?;
        Ok(mongo)
    }

    fn of(&self, collection: &str) -> mongodb::Collection<RawDocumentBuf> {
        self.database.collection(collection)
    }

    pub(super) async fn ping(&self) -> Result<()> {
        let answer = self.database.run_command(doc! { "ping": 1 }).await;
        answer.map(drop).map_err(failed)
    }

    pub(super) async fn prepare(
        &self,
        collection: &'static str,
        indexes: &'static [Index],
    ) -> Result<()> {
        let models = indexes.iter().map(|index| {
            let keys: Fields = index
                .fields
                .iter()
                .map(|f| ((*f).to_owned(), Bson::Int32(1)))
                .collect();
            let last = index.fields.last().copied().unwrap_or("_id");
            let options = IndexOptions::builder().name(index.name.to_owned());
            let options = match (index.is_unique, index.is_partial) {
                (false, _) => options.build(),
                (true, false) => options.unique(true).build(),
                (true, true) => options
                    .unique(true)
                    .partial_filter_expression(doc! { last: { "$exists": true } })
                    .build(),
            };
            IndexModel::builder().keys(keys).options(options).build()
        });
        let models: Vec<_> = models.collect();
        if models.is_empty() {
            return Ok(());
        }
        let created = self.of(collection).create_indexes(models).await;
        created.map(drop).map_err(failed)
    }

    pub(super) async fn insert<D: Document>(&self, documents: &[D]) -> Result<Inserted> {
        let encoded: Result<Vec<_>> = documents.iter().map(encode).collect();
        let encoded = encoded?;
        let count = encoded.len();
        if count == 0 {
            return Ok(Inserted {
                count,
                duplicate: None,
            });
        }
        match self
            .of(D::COLLECTION)
            .insert_many(encoded)
            .ordered(true)
            .await
        {
            Ok(_) => Ok(Inserted {
                count,
                duplicate: None,
            }),
            Err(error) => match duplicate::<D>(&error) {
                Some((count, duplicate)) => Ok(Inserted {
                    count,
                    duplicate: Some(duplicate),
                }),
                None => Err(failed(error)),
            },
        }
    }

    pub(super) async fn get_many<D: Document>(&self, ids: &[String]) -> Result<Vec<D>> {
        let found = self.database.collection::<D>(D::COLLECTION);
        let found = found.find(doc! { "_id": { "$in": ids } }).await;
        found.map_err(failed)?.try_collect().await.map_err(failed)
    }

    pub(super) async fn find<D: Document>(&self, range: Range) -> Result<Vec<D>> {
        let found = self.database.collection::<D>(D::COLLECTION);
        let found = found
            .find(filter(&range))
            .sort(order(&range))
            .limit(i64::from(range.limit))
            .await;
        found.map_err(failed)?.try_collect().await.map_err(failed)
    }

    pub(super) async fn find_each<D: Document>(
        &self,
        mut ranges: Vec<Range>,
    ) -> Result<Vec<Vec<D>>> {
        if ranges.len() == 1
            && let Some(range) = ranges.pop()
        {
            return Ok(vec![self.find(range).await?]);
        }
        let mut found: Vec<Vec<D>> = ranges.iter().map(|_| Vec::new()).collect();
        for (n, ranges) in ranges.chunks(TOGETHER).enumerate() {
            let mut parts = ranges
                .iter()
                .enumerate()
                .map(|(at, range)| stages(range, at));
            let mut pipeline = parts.next().unwrap_or_default();
            for part in parts {
                let part = doc! { "coll": D::COLLECTION, "pipeline": part };
                pipeline.push(doc! { "$unionWith": part });
            }
            let collection = self.of(D::COLLECTION);
            let read = collection.aggregate(pipeline);
            let read = read.with_type::<Part<D>>().await.map_err(failed)?;
            let read: Vec<_> = read.try_collect().await.map_err(failed)?;
            for part in read {
                let at = n * TOGETHER + usize::try_from(part.at).unwrap_or_default();
                found[at].push(part.document);
            }
        }
        Ok(found)
    }

    pub(super) async fn replace<D: Document>(
        &self,
        document: &D,
        expected: &[(&'static str, Value)],
    ) -> Result<Replaced> {
        let encoded = encode(document)?;
        let id = encoded
            .get_str("_id")
            .map_err(|e| Error::internal(e.to_string()))?;
        let mut condition = doc! { "_id": id };
        for (field, value) in expected {
            condition.insert(*field, bson(value));
        }
        match self
            .of(D::COLLECTION)
            .replace_one(condition, &encoded)
            .await
        {
            Ok(done) if done.matched_count == 1 => Ok(Replaced::Done),
            Ok(_) => Ok(Replaced::Unmet),
            Err(error) => match duplicate::<D>(&error) {
                Some((_, duplicate)) => Ok(Replaced::Duplicate(duplicate)),
                None => Err(failed(error)),
            },
        }
    }

    pub(super) async fn delete(&self, collection: &'static str, range: Range) -> Result<u64> {
        let found = self.database.collection::<Fields>(collection);
        let ids = found
            .find(filter(&range))
            .sort(order(&range))
            .projection(doc! { "_id": 1 })
            .limit(i64::from(range.limit))
            .await;
        let ids: Vec<Fields> = ids.map_err(failed)?.try_collect().await.map_err(failed)?;
        let ids: Vec<_> = ids
            .into_iter()
            .filter_map(|mut found| found.remove("_id"))
            .collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let deleted = found.delete_many(doc! { "_id": { "$in": ids } }).await;
        Ok(deleted.map_err(failed)?.deleted_count)
    }
}

/// Reads a range, and notes that it is the one at `at`.
fn stages(range: &Range, at: usize) -> Vec<Fields> {
    let at = i32::try_from(at).unwrap_or_default();
    vec![
        doc! { "$match": filter(range) },
        doc! { "$sort": order(range) },
        doc! { "$limit": i64::from(range.limit) },
        doc! { "$project": { "_id": 0, "at": { "$literal": at }, "document": "$$ROOT" } },
    ]
}

/// Waits for an operation, but not forever.
///
/// # Errors
/// `UNAVAILABLE` when it takes too long; those of the operation.
pub(super) async fn in_time<T>(operation: impl Future<Output = Result<T>>) -> Result<T> {
    let done = tokio::time::timeout(OPERATION_TIME, operation).await;
    done.unwrap_or_else(|_| {
        tracing::warn!("MongoDB does not answer");
        Err(UNAVAILABLE)
    })
}

fn filter(range: &Range) -> Fields {
    let mut filter = Fields::new();
    for (field, sign, value) in range.comparisons() {
        let operator = match sign {
            Sign::Equal => "$eq",
            Sign::Above => "$gt",
            Sign::AtLeast => "$gte",
            Sign::Below => "$lt",
            Sign::AtMost => "$lte",
        };
        let of_field = filter
            .entry(field.to_owned())
            .or_insert_with(|| Bson::Document(doc! {}));
        if let Bson::Document(of_field) = of_field {
            of_field.insert(operator, bson(value));
        }
    }
    // MongoDB uses a partial index only if the condition implies that of the index.
    let last = range.index.fields.last().filter(|_| range.index.is_partial);
    if let Some(last) = last.filter(|last| !filter.contains_key(last)) {
        filter.insert(*last, doc! { "$exists": true });
    }
    filter
}

fn order(range: &Range) -> Fields {
    let direction = if range.is_backwards { -1 } else { 1 };
    let fields = range.index.fields.iter();
    fields
        .map(|field| ((*field).to_owned(), Bson::Int32(direction)))
        .collect()
}

fn bson(value: &Value) -> Bson {
    match value {
        Value::Int(value) => Bson::Int64(*value),
        Value::Text(value) => Bson::String(value.clone()),
        Value::Bool(value) => Bson::Boolean(*value),
    }
}

fn encode<D: Document>(document: &D) -> Result<RawDocumentBuf> {
    let encoded = mongodb::bson::serialize_to_raw_document_buf(document);
    let encoded = encoded.map_err(|e| Error::internal(e.to_string()))?;
    if encoded.as_bytes().len() as u64 > LARGEST {
        return Err(Error::TooLarge { limit: LARGEST });
    }
    Ok(encoded)
}

/// Where an insertion was refused by a unique index, and by which.
fn duplicate<D: Document>(error: &MongoError) -> Option<(usize, &'static str)> {
    let (at, message) = match &*error.kind {
        ErrorKind::InsertMany(failure) => {
            let refused = failure.write_errors.as_ref()?.first()?;
            (refused.code == DUPLICATE).then_some((refused.index, &refused.message))?
        }
        ErrorKind::Write(WriteFailure::WriteError(refused)) => {
            (refused.code == DUPLICATE).then_some((0, &refused.message))?
        }
        _ => return None,
    };
    Some((at, duplicate_of::<D>(message)))
}

/// Errors of the connection are `UNAVAILABLE`.
fn failed(error: MongoError) -> Error {
    let is_away = matches!(
        *error.kind,
        ErrorKind::Io(_)
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Authentication { .. }
    );
    if is_away || error.contains_label("RetryableWriteError") {
        tracing::warn!(%error, "MongoDB is away");
        UNAVAILABLE
    } else {
        Error::internal(error)
    }
}

/// Why MongoDB cannot be used, without secrets.
fn sentence(error: &MongoError) -> String {
    match &*error.kind {
        ErrorKind::Authentication { .. } => "refuses the user or the password".to_owned(),
        ErrorKind::Command(refused) => format!("refuses: {}", refused.message),
        _ => "cannot be reached: is the server running, and is the address right?".to_owned(),
    }
}
