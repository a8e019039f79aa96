//! What was said and changed in chat sessions, as documents: one entry for each change, by the session's change number.
//! Entries are only added, so that a number, once passed, never appears again, and a reader who asks for greater ones
//! misses nothing.
//!
//! The entry that adds a chat holds the chat's present state. An edit or a deletion is an entry of its own, which is
//! written first and then [settled](Log::settle): its change is brought into the chat's entry. Whoever writes the next
//! entry or delivers the change settles it before, so that it does not matter where a server dies.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    chat::{Chat, Rev},
    clock::Timestamp,
    documents::{Collection, Document, Index, Inserted, Range, Replaced},
    error::{Error, Result},
    ids::{ChatId, ChatSessionId, UserId},
};

/// No two entries of a session have the same number.
pub const BY_REV: Index = Index::unique_in_all("rev_in_session", &["session", "rev"]);
/// No two chats of a session have the same place. Ranges of it must have a lower bound, for entries of changes are not
/// in it.
pub const BY_SEQ: Index = Index::unique("session_seq", &["session", "seq"]);
/// An author uses a key once in a session.
pub const BY_KEY: Index = Index::unique("session_author_key", &["session", "author", "key"]);

/// One change of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// That of the chat which it adds, or one of its own.
    _id: String,
    session: String,
    rev: i64,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum What {
    Added(Added),
    Changed(Changed),
}

/// A chat, as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Added {
    seq: i64,
    author: String,
    content: String,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    updated_at: Option<i64>,
    is_deleted: bool,
    /// The number of the last change that it contains.
    latest: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    /// What was sent under the key, to tell a repetition from another message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sent: Option<String>,
}

impl Added {
    fn bring_in(&mut self, change: &Change, at: i64) {
        match change {
            // It was deleted meanwhile, and stays empty.
            _ if self.is_deleted => return,
            Change::Edit(content) => self.content.clone_from(content),
            Change::Delete => {
                self.content.clear();
                self.is_deleted = true;
            }
        }
        self.updated_at = Some(at);
    }
}

/// A change of a chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Changed {
    of: String,
    at: i64,
    /// Until it is settled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    change: Option<Change>,
}

/// How a chat changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    Edit(String),
    Delete,
}

impl Document for Entry {
    const COLLECTION: &'static str = "chat_log";
    const INDEXES: &'static [Index] = &[BY_REV, BY_SEQ, BY_KEY];
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub rev: Rev,
    /// The number of chats.
    pub seq: i32,
}

impl Entry {
    /// Adds a chat. `sent` is a digest of the content, if the chat has a key.
    pub fn adding(chat: &Chat, sent: Option<String>) -> Self {
        Self {
            _id: chat.id.to_string(),
            session: chat.session.to_string(),
            rev: chat.born.0,
            what: What::Added(Added {
                seq: chat.seq.into(),
                author: chat.author.to_string(),
                content: chat.content.clone(),
                created_at: chat.created_at.micros(),
                updated_at: chat.updated_at.map(Timestamp::micros),
                is_deleted: chat.is_deleted,
                latest: chat.latest.0,
                key: chat.idempotency_key.clone(),
                sent,
            }),
        }
    }

    /// Changes a chat. `id` is the entry's own.
    pub fn changing(id: ChatId, rev: Rev, chat: &Chat, change: Change, at: Timestamp) -> Self {
        Self {
            _id: format!("change_{}", id.uuid().simple()),
            session: chat.session.to_string(),
            rev: rev.0,
            what: What::Changed(Changed {
                of: chat.id.to_string(),
                at: at.micros(),
                change: Some(change),
            }),
        }
    }

    /// The number of the change.
    pub fn rev(&self) -> Rev {
        Rev(self.rev)
    }

    /// The chat that it adds.
    ///
    /// # Errors
    /// `INTERNAL` for a document that this program did not write.
    pub fn added(&self) -> Result<Option<Chat>> {
        let What::Added(added) = &self.what else {
            return Ok(None);
        };
        let foreign = |_| Error::internal(format!("the entry {} cannot be read", self._id));
        Ok(Some(Chat {
            id: ChatId::parse(&self._id).map_err(foreign)?,
            session: ChatSessionId::parse(&self.session).map_err(foreign)?,
            seq: i32::try_from(added.seq).map_err(|error| Error::internal(error))?,
            author: UserId::parse(&added.author).map_err(foreign)?,
            content: added.content.clone(),
            created_at: Timestamp::from_micros(added.created_at),
            updated_at: added.updated_at.map(Timestamp::from_micros),
            is_deleted: added.is_deleted,
            idempotency_key: added.key.clone(),
            born: Rev(self.rev),
            latest: Rev(added.latest),
        }))
    }

    /// The id of the chat that it adds or changes.
    fn chat(&self) -> &str {
        match &self.what {
            What::Added(_) => &self._id,
            What::Changed(changed) => &changed.of,
        }
    }

    /// The digest of what was sent under the key.
    pub fn sent(&self) -> Option<&str> {
        match &self.what {
            What::Added(added) => added.sent.as_deref(),
            What::Changed(_) => None,
        }
    }
}

/// The entries of all sessions.
pub struct Log(Collection<Entry>);

impl Log {
    /// Opens it.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn open(app: &App) -> Result<Self> {
        Ok(Self(app.documents.collection().await?))
    }

    /// How far each session has come. Its last change is settled.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn heads(&self, sessions: &[ChatSessionId]) -> Result<Vec<Head>> {
        let newest = sessions
            .iter()
            .flat_map(|session| [newest_entry(*session), newest_chat(*session)]);
        let newest = self.0.find_each(newest.collect()).await?;
        let mut heads = Vec::with_capacity(sessions.len());
        for pair in newest.chunks(2) {
            if let [entry, chat] = pair {
                heads.push(self.head(entry, chat).await?);
            }
        }
        Ok(heads)
    }

    /// How far a session has come that had come so far before. It reads what has been added since, if that is not too much.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn head_after(&self, session: ChatSessionId, before: Head) -> Result<Head> {
        let since = Range::of(BY_REV, SINCE).equal(session).above(before.rev.0);
        let since = self.0.find(since.backwards()).await?;
        let Some(newest) = since.first() else {
            return Ok(before);
        };
        self.settle(newest).await?;
        let mut added = since.iter().map(Entry::added);
        let chat = added.find_map(Result::transpose).transpose()?;
        match chat {
            Some(chat) => Ok(Head {
                rev: newest.rev(),
                seq: chat.seq,
            }),
            None if since.len() < SINCE as usize => Ok(Head {
                rev: newest.rev(),
                ..before
            }),
            None => Ok(self.heads(&[session]).await?.pop().unwrap_or_default()),
        }
    }

    /// The head that the newest entry and the newest chat make, as far as there are any.
    async fn head(&self, entry: &[Entry], chat: &[Entry]) -> Result<Head> {
        let Some(entry) = entry.first() else {
            return Ok(Head::default());
        };
        self.settle(entry).await?;
        let chat = chat.first().map(Entry::added).transpose()?.flatten();
        Ok(Head {
            rev: entry.rev(),
            seq: chat.map_or(0, |chat| chat.seq),
        })
    }

    /// Adds entries in this order: see [`Collection::insert`].
    ///
    /// # Errors
    /// `UNAVAILABLE`; then some may have been added.
    pub async fn append(&self, entries: &[Entry]) -> Result<Inserted> {
        self.0.insert(entries).await
    }

    /// Brings the change of `entry`, if it is one, into its chat. Repeating it changes nothing. Returns the chat as it is
    /// afterwards.
    ///
    /// # Errors
    /// `UNAVAILABLE`; `NOT_FOUND` when the session is being deleted.
    pub async fn settle(&self, entry: &Entry) -> Result<Chat> {
        let What::Changed(changed) = &entry.what else {
            return entry.added()?.ok_or(Error::NotFound);
        };
        let target = loop {
            let mut target = self.0.get(&changed.of).await?.ok_or(Error::NotFound)?;
            let What::Added(added) = &mut target.what else {
                return Err(Error::internal("a change of what is no chat"));
            };
            let Some(change) = changed.change.as_ref().filter(|_| added.latest < entry.rev) else {
                break target;
            };
            let before = added.latest;
            added.bring_in(change, changed.at);
            added.latest = entry.rev;
            let expected = [("latest", before.into())];
            if self.0.replace(&target, &expected).await? == Replaced::Done {
                break target;
            }
        };
        if changed.change.is_some() {
            // What a chat said must not outlive it in the entries of its edits.
            let mut settled = entry.clone();
            settled.what = What::Changed(Changed {
                change: None,
                ..changed.clone()
            });
            self.0.replace(&settled, &[]).await?;
        }
        target.added()?.ok_or(Error::NotFound)
    }

    /// The chats with these ids, in any order.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn chats(&self, ids: &[ChatId]) -> Result<Vec<Chat>> {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        let found = self.0.get_many(&ids).await?;
        found
            .iter()
            .filter_map(|entry| entry.added().transpose())
            .collect()
    }

    /// What `author` has sent under `key`.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn of_key(
        &self,
        session: ChatSessionId,
        author: UserId,
        key: &str,
    ) -> Result<Option<Entry>> {
        let range = Range::of(BY_KEY, 1).equal(session).equal(author).equal(key);
        Ok(self.0.find(range).await?.pop())
    }

    /// The chats of each range of [`BY_SEQ`].
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn pages(&self, ranges: Vec<Range>) -> Result<Vec<Vec<Chat>>> {
        let found = self.0.find_each(ranges).await?;
        let chats = |entries: Vec<Entry>| {
            let chats = entries.iter().filter_map(|entry| entry.added().transpose());
            chats.collect::<Result<Vec<_>>>()
        };
        found.into_iter().map(chats).collect()
    }

    /// The first `limit` changes of each session after a number, each with its chat as it is now.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn after(
        &self,
        cursors: &[(ChatSessionId, Rev)],
        limit: u32,
    ) -> Result<Vec<Vec<(Rev, Chat)>>> {
        let ranges = cursors
            .iter()
            .map(|(session, rev)| Range::of(BY_REV, limit).equal(*session).above(rev.0));
        let found = self.0.find_each(ranges.collect()).await?;
        let mut edited = HashMap::new();
        for entry in found.iter().flatten() {
            let What::Changed(changed) = &entry.what else {
                continue;
            };
            if changed.change.is_some() {
                self.settle(entry).await?;
            }
            edited.insert(changed.of.clone(), None);
        }
        if !edited.is_empty() {
            let ids: Vec<_> = edited.keys().cloned().collect();
            for target in self.0.get_many(&ids).await? {
                edited.insert(target._id.clone(), target.added()?);
            }
        }
        let change = |entry: Entry| {
            let chat = match entry.added() {
                Ok(None) => Ok(edited.get(entry.chat()).cloned().flatten()),
                added => added,
            };
            // A session that is being deleted has lost some already.
            Some(chat.transpose()?.map(|chat| (entry.rev(), chat)))
        };
        let changes = |entries: Vec<Entry>| entries.into_iter().filter_map(change).collect();
        found.into_iter().map(changes).collect()
    }

    /// Deletes some entries of a deleted session, and returns how many.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn delete_some(&self, session: ChatSessionId) -> Result<u64> {
        const BATCH: u32 = 500;
        self.0.delete(Range::of(BY_REV, BATCH).equal(session)).await
    }
}

/// The most entries that are read to find out how far a session has come.
const SINCE: u32 = 100;

/// The last change of a session.
fn newest_entry(session: ChatSessionId) -> Range {
    Range::of(BY_REV, 1).equal(session).backwards()
}

/// The newest chat of a session.
pub fn newest_chat(session: ChatSessionId) -> Range {
    Range::of(BY_SEQ, 1).equal(session).at_least(1).backwards()
}
