//! Gives chats and their changes their numbers. On each server, a session has one writer while something waits to be
//! written: it takes all that waits, numbers it from where the session has come, and appends it. When the log says that a
//! number is taken, another server was faster: the writer reads how far the session has come and tries again.

use std::{
    any::TypeId,
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::{
    log::{BY_KEY, Change, Entry, Head, Log},
    spoken_in, touch,
};
use crate::{
    app::App,
    chat::{Chat, Content, IdempotencyKey, Rev},
    error::{Error, Result, Rule},
    ids::{ChatId, ChatSessionId, UserId},
};

/// The most chats that are appended at once.
const BATCH: usize = 64;
/// How often the writers of other servers may be faster in a row.
const ATTEMPTS: usize = 100;
/// The number of sessions whose head is remembered.
const REMEMBERED: u64 = 100_000;

/// A chat to be.
#[derive(Clone, Debug)]
pub struct NewChat {
    pub author: UserId,
    pub content: Content,
    pub key: Option<IdempotencyKey>,
}

type Reply = oneshot::Sender<Result<Chat>>;

enum Command {
    Add(NewChat, Reply),
    Change(ChatId, Change, Reply),
}

/// The writers of this server.
struct Writers {
    /// What waits, for each session that has a writer.
    waiting: Mutex<HashMap<ChatSessionId, VecDeque<Command>>>,
    /// How far sessions had come when this server last wrote. Others may have written since.
    heads: moka::sync::Cache<ChatSessionId, Head>,
}

impl Default for Writers {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            heads: moka::sync::Cache::new(REMEMBERED),
        }
    }
}

/// Adds a chat. It goes on when the caller is gone.
///
/// # Errors
/// `CONFLICT` at `idempotencyKey` when the author has sent something else under the key; `UNAVAILABLE`, after which it
/// may have been added.
pub async fn add(app: &App, session: ChatSessionId, new: NewChat) -> Result<Chat> {
    submit(app, session, |reply| Command::Add(new, reply)).await
}

/// Changes a chat.
///
/// # Errors
/// `CONFLICT` at `id` for a deleted chat; `UNAVAILABLE`, after which it may have been changed.
pub async fn change(
    app: &App,
    session: ChatSessionId,
    chat: ChatId,
    change: Change,
) -> Result<Chat> {
    submit(app, session, |reply| Command::Change(chat, change, reply)).await
}

async fn submit(
    app: &App,
    session: ChatSessionId,
    command: impl FnOnce(Reply) -> Command,
) -> Result<Chat> {
    let writers: Arc<Writers> = app.memory.of(TypeId::of::<Writers>());
    let (reply, answer) = oneshot::channel();
    let command = command(reply);
    let is_first = {
        let mut waiting = writers.waiting.lock();
        let is_first = !waiting.contains_key(&session);
        waiting.entry(session).or_default().push_back(command);
        is_first
    };
    if is_first {
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends by itself, and nothing that it has not finished is acknowledged"
        )]
        tokio::spawn(run(app.clone(), writers, session));
    }
    answer
        .await
        .map_err(|_| Error::internal("the writer of a chat session ended"))?
}

/// Writes what waits until nothing does.
async fn run(app: App, writers: Arc<Writers>, session: ChatSessionId) {
    loop {
        let batch: VecDeque<_> = {
            let mut all = writers.waiting.lock();
            let Some(waiting) = all.get_mut(&session) else {
                return;
            };
            if waiting.is_empty() {
                all.remove(&session);
                return;
            }
            let count = waiting.len().min(BATCH);
            waiting.drain(..count).collect()
        };
        let mut writing = Writing {
            app: &app,
            session,
            head: writers.heads.get(&session),
            before: None,
        };
        // A panic must not leave the session without a writer. Whoever waits is told by the dropped reply.
        let done = AssertUnwindSafe(writing.write(batch)).catch_unwind().await;
        match writing.head.filter(|_| done.is_ok()) {
            Some(head) => {
                writers.heads.insert(session, head);
                app.bus
                    .publish_numbered(&spoken_in(session), session, head.rev.0.unsigned_abs());
            }
            None => {
                writers.heads.invalidate(&session);
                // Something may have been written.
                app.bus.publish(&spoken_in(session), session);
            }
        }
        touch::touch(&app, session, app.clock.now());
    }
}

struct Writing<'a> {
    app: &'a App,
    session: ChatSessionId,
    /// Unknown at first, and after a number was taken.
    head: Option<Head>,
    /// The last that was known, from which one reads on.
    before: Option<Head>,
}

impl Writing<'_> {
    async fn write(&mut self, mut batch: VecDeque<Command>) {
        for _ in 0..ATTEMPTS {
            if batch.is_empty() {
                return;
            }
            if let Err(error) = self.write_some(&mut batch).await {
                self.head = None;
                return refuse(batch, &error);
            }
        }
        refuse(
            batch,
            &Error::Unavailable {
                backend: "documents",
            },
        );
    }

    /// Writes the chats at the front of the batch, or the change.
    async fn write_some(&mut self, batch: &mut VecDeque<Command>) -> Result<()> {
        let log = Log::open(self.app).await?;
        let head = match (self.head, self.before) {
            (Some(head), _) => head,
            (None, Some(before)) => log.head_after(self.session, before).await?,
            (None, None) => {
                let heads = log.heads(&[self.session]).await?;
                heads.first().copied().unwrap_or_default()
            }
        };
        (self.head, self.before) = (Some(head), Some(head));
        if let Some(Command::Change(chat, change, _)) = batch.front() {
            let changed = self.change(&log, head, *chat, change.clone()).await;
            // Otherwise it is tried again.
            if let Some(changed) = changed.transpose()
                && let Some(Command::Change(.., reply)) = batch.pop_front()
            {
                // Fails when the caller is gone.
                let _ = reply.send(changed);
            }
            return Ok(());
        }
        self.add(&log, head, batch).await
    }

    /// Appends the change of a chat and settles it. None when the number was taken.
    async fn change(
        &mut self,
        log: &Log,
        head: Head,
        id: ChatId,
        change: Change,
    ) -> Result<Option<Chat>> {
        let chat = log.chats(&[id]).await?.pop().ok_or(Error::NotFound)?;
        if chat.is_deleted {
            return match change {
                Change::Delete => Ok(Some(chat)),
                Change::Edit(_) => Err(Error::conflict("id", Rule::State)),
            };
        }
        let rev = Rev(head.rev.0 + 1);
        let (own, now) = (self.app.clock.id(), self.app.clock.now());
        let entry = Entry::changing(own, rev, &chat, change, now);
        self.head = None;
        let appended = log.append(std::slice::from_ref(&entry)).await?;
        if appended.duplicate.is_some() {
            return Ok(None);
        }
        let chat = log.settle(&entry).await?;
        self.head = Some(Head { rev, ..head });
        Ok(Some(chat))
    }

    /// Appends the chats at the front of the batch.
    async fn add(&mut self, log: &Log, head: Head, batch: &mut VecDeque<Command>) -> Result<()> {
        let new = batch.iter().map_while(|command| match command {
            Command::Add(new, _) => Some(new),
            Command::Change(..) => None,
        });
        let chats: Vec<_> = new
            .zip(1..)
            .map(|(new, n)| self.chat(new, head, n))
            .collect();
        let entries = chats.iter().map(|chat| {
            let sent = chat.idempotency_key.as_ref().map(|_| digest(&chat.content));
            Entry::adding(chat, sent)
        });
        let entries: Vec<_> = entries.collect();
        self.head = None;
        let appended = log.append(&entries).await?;
        let count = appended.count;
        for chat in chats.into_iter().take(count) {
            self.head = Some(Head {
                rev: chat.born,
                seq: chat.seq,
            });
            answer(batch.pop_front(), Ok(chat));
        }
        match appended.duplicate {
            None => {}
            Some(index) if index == BY_KEY.name() => {
                if let Some(Command::Add(new, _)) = batch.front() {
                    let sent = self.sent_before(log, new).await;
                    answer(batch.pop_front(), sent);
                }
                if count == 0 {
                    self.head = Some(head);
                }
            }
            Some(_) => self.head = None,
        }
        Ok(())
    }

    /// The `n`th chat after `head`.
    fn chat(&self, new: &NewChat, head: Head, n: i32) -> Chat {
        let born = Rev(head.rev.0 + i64::from(n));
        Chat {
            id: self.app.clock.id(),
            session: self.session,
            seq: head.seq + n,
            author: new.author,
            content: new.content.as_str().to_owned(),
            created_at: self.app.clock.now(),
            updated_at: None,
            is_deleted: false,
            idempotency_key: new.key.clone().map(IdempotencyKey::into_inner),
            born,
            latest: born,
        }
    }

    /// The chat that its author has sent under the same key before.
    async fn sent_before(&self, log: &Log, new: &NewChat) -> Result<Chat> {
        let key = new.key.clone().map(IdempotencyKey::into_inner);
        let found = log
            .of_key(self.session, new.author, &key.unwrap_or_default())
            .await?;
        let found = found.ok_or(Error::NotFound)?;
        if found.sent() == Some(&digest(new.content.as_str())) {
            found.added()?.ok_or(Error::NotFound)
        } else {
            Err(Error::conflict("idempotencyKey", Rule::Taken))
        }
    }
}

fn answer(command: Option<Command>, outcome: Result<Chat>) {
    if let Some(Command::Add(_, reply) | Command::Change(.., reply)) = command {
        // Fails when the caller is gone.
        let _ = reply.send(outcome);
    }
}

fn refuse(batch: VecDeque<Command>, error: &Error) {
    for command in batch {
        answer(Some(command), Err(error.clone()));
    }
}

fn digest(content: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
