//! Chat sessions: places to talk in. A visible session can be found and joined by every user, an invisible one by those
//! who are invited. A direct chat has two participants for good. What is said stays in documents.

pub mod events;
pub mod graphql;
pub mod jobs;
pub mod live;
pub mod store;

use diesel::prelude::*;
use diesel_derive_newtype::DieselNewType;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    db::tables::chat_sessions,
    error::Rule,
    ids::{ChatId, ChatSessionId, UserId},
    queue::Payload,
    text,
};

/// A place to chat in.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = chat_sessions)]
pub struct ChatSession {
    pub id: ChatSessionId,
    #[diesel(embed)]
    pub name: SessionName,
    pub information: Information,
    pub creator_id: Option<UserId>,
    /// Whether every user can find and join it.
    pub is_visible: bool,
    /// Whether nobody can write any more.
    pub is_closed: bool,
    /// Of direct chats.
    pub direct_key: Option<DirectKey>,
    pub participant_count: i32,
    /// Grows whenever somebody stops to take part.
    pub people_rev: i32,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    /// When something was last said, or the creation. About a second behind.
    pub last_activity_at: Timestamp,
}

impl ChatSession {
    /// Whether it is a direct chat.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct_key.is_some()
    }
}

/// The event that a session was deleted.
#[derive(Serialize, Deserialize)]
pub struct SessionDeleted {
    pub session: ChatSessionId,
}

impl Payload for SessionDeleted {
    const KIND: &'static str = "chat_session_deleted";
}

/// What a session is called: one line of 1 to 64 characters. Several may have the same name.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = chat_sessions)]
pub struct SessionName {
    #[diesel(column_name = name)]
    pub text: String,
    /// What searches look for.
    #[diesel(column_name = name_key)]
    pub key: String,
}

impl SessionName {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(name: &str) -> Result<Self, Rule> {
        let (text, key) = text::name(name, 1..=64)?;
        Ok(Self { text, key })
    }

    /// The name of a direct chat between two users, cut to what a name may have.
    #[must_use]
    pub fn of_direct(one: &str, other: &str) -> Self {
        let name: String = format!("{one}, {other}").chars().take(64).collect();
        Self {
            key: text::fold(&name),
            text: name,
        }
    }
}

/// What a session is for: 1 to 256 characters, several lines.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct Information(String);

impl Information {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(information: &str) -> Result<Self, Rule> {
        text::paragraphs(information, 1..=256).map(Self)
    }

    /// That of a direct chat between two users.
    #[must_use]
    pub fn of_direct(name: &SessionName) -> Self {
        Self(name.text.clone())
    }

    /// The information itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The two users of a direct chat, whoever started it.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct DirectKey(Vec<u8>);

impl DirectKey {
    /// The key of the chat between these two.
    #[must_use]
    pub fn of(one: UserId, other: UserId) -> Self {
        let (first, second) = (one.min(other), one.max(other));
        let ids = [*first.uuid().as_bytes(), *second.uuid().as_bytes()];
        Self(ids.concat())
    }
}

/// Something that was said in a session. Once deleted, it stays as an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub id: ChatId,
    pub session: ChatSessionId,
    /// Its place in the session: 1, 2, 3 … without a gap. It never changes.
    pub seq: i32,
    pub author: UserId,
    /// Empty once deleted.
    pub content: String,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub is_deleted: bool,
    /// The author's own mark.
    pub idempotency_key: Option<String>,
    /// The session's change number when it was created.
    pub born: Rev,
    /// The session's change number when it was last changed, or created.
    pub latest: Rev,
}

/// How many changes a session has had: chats that were added, edited and deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev(pub i64);

/// What a chat says: 1 to 2 000 characters, several lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(content: &str) -> Result<Self, Rule> {
        text::paragraphs(content, 1..=2_000).map(Self)
    }

    /// The content itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The content itself.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

/// The mark of a message that its author may send again: 16 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// # Errors
    /// `BLANK`, `TOO_SHORT`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(key: &str) -> Result<Self, Rule> {
        text::line(key, 16..=64).map(Self)
    }

    /// The key itself.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_key_of_a_direct_chat_is_the_same_for_both() {
        let [ann, ben, eve] = [1, 2, 3].map(|n| UserId::from_uuid(Uuid::from_u128(n)));

        assert_eq!(DirectKey::of(ann, ben), DirectKey::of(ben, ann));
        assert_ne!(DirectKey::of(ann, ben), DirectKey::of(ann, eve));
    }

    #[test]
    fn the_name_of_a_direct_chat_is_a_name() {
        let name = SessionName::of_direct(&"a".repeat(64), &"마".repeat(64));

        assert_eq!(SessionName::parse(&name.text), Ok(name));
    }
}
