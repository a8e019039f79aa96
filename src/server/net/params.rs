//! The parameters of a GraphQL request, the same over HTTP and WebSocket.

use async_graphql::Variables;
use memchr::memchr2;
use serde_json::{Map, Value};

use crate::{
    budget::{Account, FEW, Held},
    error::{Error, Result, Sentence},
};

/// What a value takes in memory, at most, in bytes, beside its text.
const VALUE: usize = 80;
/// JSON of so many bytes cannot weigh much.
const LIGHT: usize = 2 * FEW / VALUE;

/// Holds what the JSON of a request takes in memory once it is read, unless that is little.
///
/// # Errors
/// `LIMIT_EXCEEDED` for more values than `most`; and as [`Held::take`].
pub fn hold(account: &Account, json: &[u8], most: usize) -> Result<Held> {
    let mut held = account.hold(0);
    if json.len() > LIGHT.min(most) {
        let weight = weight(json, most)?;
        if weight > FEW {
            held.take(weight)?;
        }
    }
    Ok(held)
}

/// The bytes that this JSON takes in memory once it is read. Values can take far more than their text: `[],` is one.
///
/// # Errors
/// `LIMIT_EXCEEDED` for more values than `most`.
fn weight(json: &[u8], most: usize) -> Result<usize> {
    values(json, most).map(|values| json.len() + values * VALUE)
}

/// At least as many values as there are in this JSON, but for one.
///
/// # Errors
/// `LIMIT_EXCEEDED` for more than `most`.
pub fn values(json: &[u8], most: usize) -> Result<usize> {
    let (mut values, mut at) = (0, 0);
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'"' => at = end_of_text(json, at),
            b',' | b'[' | b'{' => values += 1,
            _ => {}
        }
    }
    if values > most {
        return Err(Error::LimitExceeded {
            what: "values in a request",
            limit: most as u64,
        });
    }
    Ok(values)
}

/// Where the text ends that begins at `start`, after its first quotation mark. Most of a large request is text.
fn end_of_text(json: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(rest) = json.get(at..) {
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return at + found + 1,
            // Whatever is escaped does not end it.
            Some(found) => at += found + 2,
            None => break,
        }
    }
    json.len()
}

/// What a client asks to run, checked for types only.
#[derive(Debug, Default)]
pub struct Params {
    /// Absent only with a persisted query.
    pub query: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Variables,
    pub extensions: Map<String, Value>,
}

impl Params {
    /// Reads the object that a client sent. Null counts as absent; unknown fields are ignored.
    ///
    /// # Errors
    /// What is wrong, for the developer of the client.
    pub fn read(mut object: Map<String, Value>) -> Result<Self, Sentence> {
        let wrong = |en: &str, ko: &str| Sentence {
            en: en.to_owned(),
            ko: ko.to_owned(),
        };
        let mut params = Self {
            query: string(&mut object, "query")?,
            // Some clients send an empty name for an operation that has none.
            operation_name: string(&mut object, "operationName")?.filter(|name| !name.is_empty()),
            variables: match object.remove("variables") {
                None | Some(Value::Null) => Variables::default(),
                Some(map @ Value::Object(_)) => serde_json::from_value(map).map_err(|_| {
                    wrong(
                        "The variables must be a map of GraphQL values.",
                        "variables는 GraphQL 값으로 된 객체여야 합니다.",
                    )
                })?,
                Some(_) => {
                    return Err(wrong(
                        "The variables must be a map.",
                        "variables는 객체여야 합니다.",
                    ));
                }
            },
            extensions: match object.remove("extensions") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(map)) => map,
                Some(_) => {
                    return Err(wrong(
                        "The extensions must be a map.",
                        "extensions는 객체여야 합니다.",
                    ));
                }
            },
        };
        let is_named = params.extensions.contains_key("persistedQuery");
        if is_named && params.query.as_ref().is_some_and(String::is_empty) {
            params.query = None;
        }
        if params.query.is_none() && !is_named {
            return Err(wrong("A query is required.", "쿼리가 필요합니다."));
        }
        Ok(params)
    }
}

fn string(object: &mut Map<String, Value>, key: &str) -> Result<Option<String>, Sentence> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Sentence {
            en: format!("The {key} must be a string."),
            ko: format!("{key} 값은 문자열이어야 합니다."),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Params, Sentence> {
        let Value::Object(object) = value else {
            unreachable!()
        };
        Params::read(object)
    }

    #[test]
    fn values_weigh_more_than_their_text_and_their_number_is_limited() {
        const MOST: usize = 20;
        let of = |json: &str| weight(json.as_bytes(), MOST).ok();

        let text = r#""one [, {text\" \\""#;
        assert_eq!(of(text), Some(text.len()));
        assert_eq!(of(r#"{"a\\":[1,2]}"#), Some(13 + 3 * VALUE));
        assert_eq!(of("not JSON ,"), Some(10 + VALUE));
        let list = |values| format!("[{}]", vec!["[]"; values].join(","));
        assert!(of(&list(MOST / 2)).is_some());
        assert_eq!(of(&list(MOST / 2 + 1)), None);
    }

    #[test]
    fn null_is_as_good_as_absent() {
        let params = read(json!({
            "query": "{ a }", "operationName": null, "variables": null, "extensions": null, "id": 7,
        }))
        .unwrap();

        assert_eq!(params.query.as_deref(), Some("{ a }"));
        assert_eq!(params.operation_name, None);
        assert!(params.variables.is_empty() && params.extensions.is_empty());
    }

    #[test]
    fn an_empty_name_is_none_and_an_empty_query_beside_a_hash_too() {
        let params = read(json!({
            "query": "", "operationName": "", "extensions": { "persistedQuery": {} },
        }))
        .unwrap();

        assert_eq!((params.query, params.operation_name), (None, None));
        assert_eq!(
            read(json!({ "query": "" })).unwrap().query.as_deref(),
            Some("")
        );
    }

    #[test]
    fn each_parameter_has_its_type() {
        for wrong in [
            json!({}),
            json!({ "query": null }),
            json!({ "query": 1 }),
            json!({ "query": "{ a }", "operationName": ["A"] }),
            json!({ "query": "{ a }", "variables": "{}" }),
            json!({ "query": "{ a }", "variables": [] }),
            json!({ "query": "{ a }", "extensions": false }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_named_document_needs_no_query() {
        assert!(read(json!({ "extensions": { "persistedQuery": {} } })).is_ok());
    }
}
