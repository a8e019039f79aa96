//! Messages from strangers, for fuzzing: see [`crate::fuzz`].

use serde_json::Value;

use super::message::Said;
use crate::server::net;

/// A message of a client.
///
/// # Panics
/// If its values are more than were counted before it was read.
pub fn message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let (Ok(json), Ok(counted)) = (serde_json::from_str(text), net::values(bytes, usize::MAX)) {
        assert!(values(&json) <= counted + 1);
    }
    if let Ok(Said::Subscribe { id, .. } | Said::Complete { id }) = Said::parse(text) {
        assert!(!id.is_empty());
    }
}

fn values(json: &Value) -> usize {
    1 + match json {
        Value::Array(items) => items.iter().map(values).sum::<usize>(),
        Value::Object(fields) => fields.values().map(values).sum(),
        _ => 0,
    }
}
