//! What is said in chat sessions: sending, editing, deleting and reading it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    ParticipationOfActor, Standing,
    log::{self, BY_SEQ, Change, Head, Log},
    people, standing, typing_in, writer,
};
use crate::{
    access::{Act, Actor, SignedIn},
    app::App,
    chat::{Chat, ChatSession, Content, IdempotencyKey},
    connection::{Page, Slice},
    documents::Range,
    error::{Error, Result, Rule},
    ids::{ChatId, ChatSessionId},
    loader::Batch,
};

/// The time in which chats are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Says something in a session. The same key and content again is the same chat.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who do not take part; `CONFLICT` for a closed session, and at `idempotencyKey`
/// when something else was sent under the key; `RATE_LIMITED`.
pub async fn send(
    app: &App,
    actor: &SignedIn,
    session: ChatSessionId,
    content: Content,
    key: Option<IdempotencyKey>,
) -> Result<Chat> {
    let limit = app.config.limits.chats;
    app.rate("chats", &actor.id.to_string(), limit, WINDOW)
        .await?;
    standing(app, actor, session)
        .await?
        .participant()?
        .open("chatSessionId")?;
    let author = actor.id;
    let new = writer::NewChat {
        author,
        content,
        key,
    };
    writer::add(app, session, new).await
}

/// Edits a chat. An edit that changes nothing leaves it as it is.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are not its author; `CONFLICT` when the session is closed or the chat is
/// deleted.
pub async fn update(app: &App, actor: &SignedIn, id: ChatId, content: Content) -> Result<Chat> {
    let (chat, standing) = with_standing(app, actor, id).await?;
    standing.participant()?.open("id")?;
    if chat.author != actor.id {
        return Err(Error::Forbidden);
    }
    if chat.is_deleted {
        return Err(Error::conflict("id", Rule::State));
    }
    if chat.content == content.as_str() {
        return Ok(chat);
    }
    let edit = Change::Edit(content.into_inner());
    writer::change(app, chat.session, id, edit).await
}

/// Deletes a chat: what it said. Its place stays. Deleting it again changes nothing.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are not its author, the creator of the session or an admin; `CONFLICT` when
/// the session is closed.
pub async fn delete(app: &App, act: &Act<'_, SignedIn>, id: ChatId) -> Result<Chat> {
    let (chat, standing) = with_standing(app, &act.actor, id).await?;
    let actor = Actor::SignedIn(act.actor);
    if !actor.owns(Some(chat.author)) && !actor.owns(standing.session.creator_id) {
        return Err(Error::Forbidden);
    }
    standing.open("id")?;
    if chat.is_deleted {
        return Ok(chat);
    }
    writer::change(app, chat.session, id, Change::Delete).await
}

/// A chat that `actor` may read, and what its session is to them.
async fn with_standing(app: &App, actor: &SignedIn, id: ChatId) -> Result<(Chat, Standing)> {
    let chat = Log::open(app).await?.chats(&[id]).await?.pop();
    let chat = chat.ok_or(Error::NotFound)?;
    let standing = standing(app, actor, chat.session).await?.reader();
    // Nobody learns of a chat that they may not read.
    Ok((chat, standing.map_err(|_| Error::NotFound)?))
}

/// How often a user is announced as typing in a session.
const TYPING: Duration = Duration::from_secs(3);

/// Tells the others that `actor` is about to say something.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who do not take part; `CONFLICT` for a closed session.
pub async fn announce_typing(app: &App, actor: &SignedIn, session: ChatSessionId) -> Result<()> {
    standing(app, actor, session)
        .await?
        .participant()?
        .open("chatSessionId")?;
    let claim = format!("typing:{session}:{}", actor.id);
    match app.cache.claim(&claim, TYPING).await {
        Ok(true) => app.bus.publish(&typing_in(session), actor.id),
        // Nobody misses it while Redis is away.
        Ok(false) | Err(Error::Unavailable { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Notes that `actor` has read everything up to `seq`. Going back changes nothing.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who do not take part; `INVALID` at `seq` beyond the newest chat.
pub async fn mark_read(
    app: &App,
    actor: &SignedIn,
    session: ChatSessionId,
    seq: i32,
) -> Result<ChatSession> {
    standing(app, actor, session).await?.participant()?;
    let heads = Log::open(app).await?.heads(&[session]).await?;
    let last = heads.first().map_or(0, |head| head.seq);
    if !(0..=last).contains(&seq) {
        let rule = Rule::OutOfRange {
            min: 0,
            max: last.into(),
        };
        return Err(Error::invalid("seq", rule));
    }
    people::mark_read(app, actor, session, seq).await
}

/// Chats by id, of those that the actor may read.
pub struct ReadableChat;

impl Batch for ReadableChat {
    type Key = ChatId;
    type Value = Chat;

    async fn load(app: &App, actor: Actor, ids: Vec<ChatId>) -> Result<HashMap<ChatId, Chat>> {
        if actor.signed_in().is_none() {
            return Ok(HashMap::new());
        }
        let mut found = Log::open(app).await?.chats(&ids).await?;
        if !actor.is_admin() {
            let sessions: HashSet<_> = found.iter().map(|chat| chat.session).collect();
            let sessions = sessions.into_iter().collect();
            let own = ParticipationOfActor::load(app, actor, sessions).await?;
            found.retain(|chat| own.contains_key(&chat.session));
        }
        Ok(found.into_iter().map(|chat| (chat.id, chat)).collect())
    }
}

/// The newest chat of sessions whose chats the actor may read, or of which only the number of chats is shown.
pub struct NewestChat;

impl Batch for NewestChat {
    type Key = ChatSessionId;
    type Value = Chat;

    async fn load(
        app: &App,
        _: Actor,
        sessions: Vec<ChatSessionId>,
    ) -> Result<HashMap<ChatSessionId, Chat>> {
        let newest = sessions.into_iter().map(log::newest_chat).collect();
        let found = Log::open(app).await?.pages(newest).await?;
        let found = found.into_iter().flatten();
        Ok(found.map(|chat| (chat.session, chat)).collect())
    }
}

/// How far sessions have come.
pub struct HeadOfSession;

impl Batch for HeadOfSession {
    type Key = ChatSessionId;
    type Value = Head;

    async fn load(
        app: &App,
        _: Actor,
        sessions: Vec<ChatSessionId>,
    ) -> Result<HashMap<ChatSessionId, Head>> {
        let heads = Log::open(app).await?.heads(&sessions).await?;
        Ok(sessions.into_iter().zip(heads).collect())
    }
}

/// Pages of what was said in sessions whose chats the actor may read, oldest first.
pub struct PageOfChats;

impl Batch for PageOfChats {
    type Key = (ChatSessionId, Page<i64>);
    type Value = Slice<Chat>;

    async fn load(
        app: &App,
        _: Actor,
        asked: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Slice<Chat>>> {
        let ranges = asked.iter().map(|(session, page)| {
            let limit = u32::try_from(page.fetch()).unwrap_or(u32::MAX);
            let range = Range::of(BY_SEQ, limit).equal(*session);
            let range = match page.after {
                Some(seq) => range.above(seq),
                None => range.at_least(1),
            };
            let range = match page.before {
                Some(seq) => range.below(seq),
                None => range,
            };
            if page.backwards {
                range.backwards()
            } else {
                range
            }
        });
        let found = Log::open(app).await?.pages(ranges.collect()).await?;
        let slices = asked.into_iter().zip(found).map(|(key, chats)| {
            let slice = key.1.slice(chats);
            (key, slice)
        });
        Ok(slices.collect())
    }
}
