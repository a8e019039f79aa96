//! Automatic persisted queries, as in Apollo's protocol: a client sends a document once, and its SHA-256 after that.
//! The cache is bounded in bytes and local to the process. A client whose document has been evicted sends it again.

use std::sync::Arc;

use moka::sync::Cache;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// The bytes of all cached documents together.
const CAPACITY: u64 = 8 << 20;

/// The overhead of a cached document: hash, pointers and the cache's own entry.
const OVERHEAD: usize = 128;

type Hash = [u8; 32];

/// The cached documents. Cheap to clone.
#[derive(Clone)]
pub struct PersistedDocuments(Cache<Hash, Arc<str>>);

/// The document of a request, and whether to cache it.
#[derive(Debug)]
pub struct Resolved {
    pub document: String,
    /// What to pass to [`PersistedDocuments::keep`] once the document has proved to be valid.
    pub new: Option<NewDocument>,
}

/// A document that was sent with its hash.
#[derive(Debug)]
pub struct NewDocument {
    hash: Hash,
    document: Arc<str>,
}

impl Default for PersistedDocuments {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .weigher(|_, document: &Arc<str>| {
                    u32::try_from(document.len() + OVERHEAD).unwrap_or(u32::MAX)
                })
                .build(),
        )
    }
}

impl PersistedDocuments {
    /// The document of a request, by its `query` and `extensions.persistedQuery`.
    ///
    /// # Errors
    /// `PERSISTED_QUERY_NOT_FOUND` for an unknown hash; `BAD_REQUEST` when the hash is not that of the document, the
    /// extension is not version 1, or there is neither a document nor a hash.
    pub fn resolve(
        &self,
        query: Option<String>,
        extensions: &serde_json::Map<String, Value>,
    ) -> Result<Resolved> {
        let hash = match extensions.get("persistedQuery") {
            None | Some(Value::Null) => None,
            Some(extension) => Some(named_hash(extension)?),
        };
        match (query, hash) {
            (Some(document), None) => Ok(Resolved {
                document,
                new: None,
            }),
            (Some(document), Some(hash)) => {
                if Hash::from(Sha256::digest(&document)) != hash {
                    return Err(Error::bad_request(
                        "The sha256Hash is not that of the query.",
                        "sha256Hash가 쿼리와 맞지 않습니다.",
                    ));
                }
                let new = NewDocument {
                    hash,
                    document: Arc::from(document.as_str()),
                };
                Ok(Resolved {
                    document,
                    new: Some(new),
                })
            }
            (None, Some(hash)) => match self.0.get(&hash) {
                Some(document) => Ok(Resolved {
                    document: document.to_string(),
                    new: None,
                }),
                None => Err(Error::PersistedQueryNotFound),
            },
            (None, None) => Err(Error::bad_request(
                "A query is required.",
                "쿼리가 필요합니다.",
            )),
        }
    }

    /// Caches a document. Call it once the document has proved to be valid, so that nonsense does not evict useful
    /// documents.
    pub fn keep(&self, new: NewDocument) {
        self.0.insert(new.hash, new.document);
    }
}

fn named_hash(extension: &Value) -> Result<Hash> {
    if extension.get("version").and_then(Value::as_u64) != Some(1) {
        return Err(Error::bad_request(
            "extensions.persistedQuery.version must be 1.",
            "extensions.persistedQuery.version은 1이어야 합니다.",
        ));
    }
    extension
        .get("sha256Hash")
        .and_then(Value::as_str)
        .and_then(from_hex)
        .ok_or_else(|| {
            Error::bad_request(
                "extensions.persistedQuery.sha256Hash must be 64 hexadecimal digits.",
                "extensions.persistedQuery.sha256Hash는 16진수 64자리여야 합니다.",
            )
        })
}

fn from_hex(text: &str) -> Option<Hash> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    rest.is_empty().then_some(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn named(document: &str) -> Map<String, Value> {
        let hash: String = Sha256::digest(document)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let Value::Object(map) = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
        else {
            unreachable!()
        };
        map
    }

    #[test]
    fn a_document_that_was_sent_once_is_named_by_its_hash_after_that() {
        let documents = PersistedDocuments::default();
        let extensions = named("{ a }");
        let unknown = documents.resolve(None, &extensions).unwrap_err();

        let sent = documents
            .resolve(Some("{ a }".to_owned()), &extensions)
            .unwrap();
        documents.keep(sent.new.unwrap());

        assert!(matches!(unknown, Error::PersistedQueryNotFound));
        assert_eq!(
            documents.resolve(None, &extensions).unwrap().document,
            "{ a }"
        );
    }

    #[test]
    fn a_document_is_not_kept_under_the_hash_of_another() {
        let documents = PersistedDocuments::default();

        let refused = documents
            .resolve(Some("{ b }".to_owned()), &named("{ a }"))
            .unwrap_err();

        assert!(matches!(refused, Error::BadRequest(_)));
    }

    #[test]
    fn only_version_1_with_a_hash_is_understood() {
        let documents = PersistedDocuments::default();
        for extension in [
            json!(1),
            json!({}),
            json!({ "version": 2, "sha256Hash": "00" }),
            json!({ "version": 1 }),
            json!({ "version": 1, "sha256Hash": "zz" }),
            json!({ "version": 1, "sha256Hash": "0".repeat(63) }),
            json!({ "version": 1, "sha256Hash": "0".repeat(66) }),
        ] {
            let extensions = Map::from_iter([("persistedQuery".to_owned(), extension)]);

            let refused = documents
                .resolve(Some("{ a }".to_owned()), &extensions)
                .unwrap_err();

            assert!(matches!(refused, Error::BadRequest(_)), "{extensions:?}");
        }
    }
}
