//! The parameters of a GraphQL request, the same over HTTP and WebSocket.

use async_graphql::Variables;
use serde_json::{Map, Value};

use crate::error::Sentence;

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
