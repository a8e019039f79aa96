//! The messages of graphql-transport-ws: <https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>.

use async_graphql::{Response, ServerError};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::server::net::Params;

/// What a client says.
#[derive(Debug)]
pub enum Said {
    Init(Map<String, Value>),
    Ping(Option<Map<String, Value>>),
    Pong,
    Subscribe { id: String, params: Box<Params> },
    Complete { id: String },
}

impl Said {
    /// # Errors
    /// Why this is not a valid message of a client.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
            return Err("Invalid message: not a JSON object".to_owned());
        };
        let Some(Value::String(kind)) = message.remove("type") else {
            return Err("Invalid message: 'type' must be a string".to_owned());
        };
        match kind.as_str() {
            "connection_init" => Ok(Self::Init(payload(&mut message)?.unwrap_or_default())),
            "ping" => Ok(Self::Ping(payload(&mut message)?)),
            "pong" => payload(&mut message).map(|_| Self::Pong),
            "complete" => Ok(Self::Complete {
                id: id(&mut message)?,
            }),
            "subscribe" => {
                let id = id(&mut message)?;
                let payload =
                    payload(&mut message)?.ok_or("Invalid message: 'payload' must be an object")?;
                let params =
                    Params::read(payload).map_err(|e| format!("Invalid message: {}", e.en))?;
                Ok(Self::Subscribe {
                    id,
                    params: Box::new(params),
                })
            }
            other => Err(format!("Invalid message type '{other}'")),
        }
    }
}

fn payload(message: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, String> {
    match message.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err("Invalid message: 'payload' must be an object".to_owned()),
    }
}

fn id(message: &mut Map<String, Value>) -> Result<String, String> {
    match message.remove("id") {
        Some(Value::String(id)) if !id.is_empty() => Ok(id),
        _ => Err("Invalid message: 'id' must be a string that is not empty".to_owned()),
    }
}

/// What the server says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Say<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<&'a Map<String, Value>>,
    },
    Next {
        id: &'a str,
        payload: &'a Response,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

/// The text of [`Say::Next`] for a payload that is JSON already.
pub fn next(id: &str, payload: &[u8]) -> Vec<u8> {
    let id = Value::from(id).to_string();
    let mut text = Vec::with_capacity(NEXT.len() + id.len() + PAYLOAD.len() + payload.len() + 1);
    for part in [NEXT, id.as_bytes(), PAYLOAD, payload, b"}"] {
        text.extend_from_slice(part);
    }
    text
}

const NEXT: &[u8] = b"{\"type\":\"next\",\"id\":";
const PAYLOAD: &[u8] = b",\"payload\":";

impl Say<'_> {
    /// The message as text. `None` if it cannot be written as JSON, which is logged.
    pub fn text(&self) -> Option<Vec<u8>> {
        match serde_json::to_vec(self) {
            Ok(text) => Some(text),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_client_sends_is_refused() {
        for wrong in [
            "",
            "{",
            "[]",
            "\"ping\"",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"nonsense"}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"error","id":"1","payload":[]}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"ping","payload":[]}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":""}"#,
            r#"{"type":"subscribe","payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{ a }"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":"x"}}"#,
        ] {
            assert!(Said::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_payload_that_is_json_already_becomes_the_same_message() {
        let response = Response::new(7);
        for id in ["1", "a \"quoted\" 마당"] {
            let say = Say::Next {
                id,
                payload: &response,
            };
            let payload = serde_json::to_vec(&response).unwrap();

            assert_eq!(Some(next(id, &payload)), say.text());
        }
    }

    #[test]
    fn the_server_speaks_the_protocol() {
        let text = |say: Say| String::from_utf8(say.text().unwrap()).unwrap();

        assert_eq!(text(Say::ConnectionAck), r#"{"type":"connection_ack"}"#);
        assert_eq!(text(Say::Pong { payload: None }), r#"{"type":"pong"}"#);
        assert_eq!(
            text(Say::Complete { id: "1" }),
            r#"{"type":"complete","id":"1"}"#
        );
        assert_eq!(
            text(Say::Next {
                id: "1",
                payload: &Response::new(Value::from(1).to_string())
            }),
            r#"{"type":"next","id":"1","payload":{"data":"1"}}"#
        );
    }
}
