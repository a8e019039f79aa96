//! The parameters of a GraphQL request, the same over HTTP and WebSocket.

use async_graphql::Variables;
use serde_json::{Map, Value};

/// What a client asks to run. Types are right; whether it makes sense is not known yet.
#[derive(Debug, Default)]
pub struct Params {
    /// Absent only where a persisted document is named.
    pub query: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Variables,
    pub extensions: Map<String, Value>,
}

impl Params {
    /// From the object that a client sent. Null is as good as absent; what we don't know is ignored.
    ///
    /// # Errors
    /// What is wrong, for the developer of the client.
    pub fn read(mut object: Map<String, Value>) -> Result<Self, &'static str> {
        let params = Self {
            query: string(&mut object, "query").map_err(|()| "The query must be a string.")?,
            operation_name: string(&mut object, "operationName")
                .map_err(|()| "The operationName must be a string.")?,
            variables: match object.remove("variables") {
                None | Some(Value::Null) => Variables::default(),
                Some(map @ Value::Object(_)) => serde_json::from_value(map)
                    .map_err(|_| "The variables must be a map of GraphQL values.")?,
                Some(_) => return Err("The variables must be a map."),
            },
            extensions: match object.remove("extensions") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(map)) => map,
                Some(_) => return Err("The extensions must be a map."),
            },
        };
        if params.query.is_none() && !params.extensions.contains_key("persistedQuery") {
            return Err("A query is needed.");
        }
        Ok(params)
    }
}

fn string(object: &mut Map<String, Value>, key: &str) -> Result<Option<String>, ()> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Params, &'static str> {
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
