//! What happens in a chat session, as subscribers are told.

use std::sync::Arc;

use super::{Chat, ChatSession, Rev};
use crate::ids::UserId;

/// The most users that an event names each way.
pub const NAMED: usize = 50;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The session's change number, after which a subscription goes on.
    pub rev: Rev,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// A chat was added. It is in its present state, which may be that of a later change.
    Added(Chat),
    Updated(Chat),
    Deleted(Chat),
    /// All earlier events were delivered: what follows is live.
    Ready {
        session: Arc<ChatSession>,
        online: Option<i32>,
    },
    SessionUpdated(Arc<ChatSession>),
    Participants {
        joined: Vec<UserId>,
        left: Vec<UserId>,
        count: i32,
    },
    Presence {
        came: Vec<UserId>,
        went: Vec<UserId>,
        online: i32,
    },
    Typing(UserId),
}

impl Event {
    /// The event of a change: `is_new` tells whether the receiver has not been told of the chat yet.
    #[must_use]
    pub fn of_change(rev: Rev, chat: Chat, is_new: bool) -> Self {
        let what = if chat.is_deleted {
            What::Deleted(chat)
        } else if is_new {
            What::Added(chat)
        } else {
            What::Updated(chat)
        };
        Self { rev, what }
    }

    /// The chat that has changed, if one has.
    #[must_use]
    pub fn chat(&self) -> Option<&Chat> {
        match &self.what {
            What::Added(chat) | What::Updated(chat) | What::Deleted(chat) => Some(chat),
            _ => None,
        }
    }
}
