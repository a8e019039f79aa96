//! Cursors of chat events: a session and its change number.

use crate::{
    chat::Rev,
    connection::{self, Cursors},
    ids::ChatSessionId,
};

/// The cursor after this change.
pub fn encode(session: ChatSessionId, rev: Rev) -> String {
    connection::encode(Cursors::ChatEvents, &(rev.0, session))
}

/// The change after which a subscription goes on. None for a cursor that is none, or is another session's.
pub fn decode(session: ChatSessionId, cursor: &str) -> Option<Rev> {
    let (rev, of): (i64, ChatSessionId) = connection::decode(Cursors::ChatEvents, cursor)?;
    (of == session && rev >= 0).then_some(Rev(rev))
}
