//! Live chat in the schema.

use std::sync::Arc;

use async_graphql::{Context, ID, Interface, Object, Subscription};
use futures_util::{
    Stream, StreamExt,
    future::join_all,
    stream::{self, BoxStream},
};

use super::cursor;
use crate::{
    access::{Access, Caller, auth},
    accounts::{User, store::users::UserById},
    chat::{
        Chat, ChatSession,
        events::{Event, What},
        live::{self, Delivery, Wish},
    },
    context::ContextExt,
    direct::Direct,
    error::{Error, Result},
    fanout::{Given, Offer, Piece, Shareable},
    ids::{ChatSessionId, UserId},
    input,
};

/// Something that happened in a chat session. There may be more types in the future: ignore those that you don't know.
#[derive(Interface)]
#[graphql(field(
    name = "cursor",
    ty = "String",
    desc = "Hand the last one back as `after` to go on from here. Events that save nothing repeat the latest one."
))]
pub enum ChatEvent {
    ChatAdded(ChatAdded),
    ChatUpdated(ChatUpdated),
    ChatDeleted(ChatDeleted),
    ChatReady(ChatReady),
    ChatSessionUpdated(ChatSessionUpdated),
    ParticipantsChanged(ParticipantsChanged),
    PresenceChanged(PresenceChanged),
    ChatTyping(ChatTyping),
}

impl ChatEvent {
    fn of(session: ChatSessionId, event: Event) -> Self {
        let cursor = cursor::encode(session, event.rev);
        match event.what {
            What::Added(chat) => Self::ChatAdded(ChatAdded { cursor, chat }),
            What::Updated(chat) => Self::ChatUpdated(ChatUpdated { cursor, chat }),
            What::Deleted(chat) => Self::ChatDeleted(ChatDeleted { cursor, chat }),
            What::Ready { session, online } => Self::ChatReady(ChatReady {
                cursor,
                session,
                online,
            }),
            What::SessionUpdated(session) => {
                Self::ChatSessionUpdated(ChatSessionUpdated { cursor, session })
            }
            What::Participants {
                joined,
                left,
                count,
            } => Self::ParticipantsChanged(ParticipantsChanged {
                cursor,
                joined,
                left,
                count,
            }),
            What::Presence { came, went, online } => Self::PresenceChanged(PresenceChanged {
                cursor,
                came,
                went,
                online,
            }),
            What::Typing(user) => Self::ChatTyping(ChatTyping { cursor, user }),
        }
    }
}

/// Somebody said something.
pub struct ChatAdded {
    cursor: String,
    chat: Chat,
}

/// Somebody said something.
#[Object]
impl ChatAdded {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The new chat.
    async fn chat(&self) -> Direct<Chat> {
        Direct(self.chat.clone())
    }
}

/// A chat was edited.
pub struct ChatUpdated {
    cursor: String,
    chat: Chat,
}

/// A chat was edited.
#[Object]
impl ChatUpdated {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The chat as it is now.
    async fn chat(&self) -> Direct<Chat> {
        Direct(self.chat.clone())
    }
}

/// A chat was deleted.
pub struct ChatDeleted {
    cursor: String,
    chat: Chat,
}

/// A chat was deleted.
#[Object]
impl ChatDeleted {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The chat, which is empty.
    async fn chat(&self) -> Direct<Chat> {
        Direct(self.chat.clone())
    }
}

/// Everything before was delivered: what follows is live.
pub struct ChatReady {
    cursor: String,
    session: Arc<ChatSession>,
    online: Option<i32>,
}

/// Everything before was delivered: what follows is live.
#[Object]
impl ChatReady {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The session as it is now.
    async fn chat_session(&self) -> Direct<ChatSession> {
        Direct(ChatSession::clone(&self.session))
    }

    /// How many participants have a live subscription, on any server; null while that is not known.
    async fn online_count(&self) -> Option<i32> {
        self.online
    }
}

/// The session itself was edited or closed.
pub struct ChatSessionUpdated {
    cursor: String,
    session: Arc<ChatSession>,
}

/// The session itself was edited or closed.
#[Object]
impl ChatSessionUpdated {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The session as it is now.
    async fn chat_session(&self) -> Direct<ChatSession> {
        Direct(ChatSession::clone(&self.session))
    }
}

/// Users have joined or left: at most one event a second.
pub struct ParticipantsChanged {
    cursor: String,
    joined: Vec<UserId>,
    left: Vec<UserId>,
    count: i32,
}

/// Users have joined or left: at most one event a second.
#[Object]
impl ParticipantsChanged {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Who has joined; at most 50 of them.
    async fn joined(&self, ctx: &Context<'_>) -> Result<Vec<Direct<User>>> {
        users(ctx, &self.joined).await
    }

    /// Who has left or was removed; at most 50 of them.
    async fn left(&self, ctx: &Context<'_>) -> Result<Vec<Direct<User>>> {
        users(ctx, &self.left).await
    }

    /// How many users take part.
    async fn participant_count(&self) -> i32 {
        self.count
    }
}

/// Participants have come online or gone offline: at most one event a second.
pub struct PresenceChanged {
    cursor: String,
    came: Vec<UserId>,
    went: Vec<UserId>,
    online: i32,
}

/// Participants have come online or gone offline: at most one event a second.
#[Object]
impl PresenceChanged {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Who has come online; at most 50 of them.
    async fn came_online(&self, ctx: &Context<'_>) -> Result<Vec<Direct<User>>> {
        users(ctx, &self.came).await
    }

    /// Who has been offline for 10 seconds; at most 50 of them.
    async fn went_offline(&self, ctx: &Context<'_>) -> Result<Vec<Direct<User>>> {
        users(ctx, &self.went).await
    }

    /// How many participants have a live subscription, on any server.
    async fn online_count(&self) -> Option<i32> {
        Some(self.online)
    }
}

/// Somebody else is about to say something: at most one event per user in 3 seconds.
pub struct ChatTyping {
    cursor: String,
    user: UserId,
}

/// Somebody else is about to say something: at most one event per user in 3 seconds.
#[Object]
impl ChatTyping {
    /// Where to go on.
    pub async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Who.
    async fn user(&self, ctx: &Context<'_>) -> Result<Direct<User>> {
        let user = ctx.load::<UserById>(self.user).await?;
        user.map(Direct).ok_or(Error::NotFound)
    }
}

fn piece(delivery: Delivery) -> Piece {
    match delivery {
        Delivery::Rendered(rendered) => Piece::Rendered(rendered),
        Delivery::Event(event) => Piece::Own(Given(Arc::new(event))),
    }
}

/// What is the same for all who follow a session: neither what depends on the viewer nor what has a guard.
pub const SHAREABLE: Shareable = Shareable {
    field: "chatEvents",
    cursor: "after",
    fields: &[
        ("ChatAdded", &["cursor", "chat"]),
        ("ChatUpdated", &["cursor", "chat"]),
        ("ChatDeleted", &["cursor", "chat"]),
        ("ChatReady", &["cursor", "chatSession", "onlineCount"]),
        ("ChatSessionUpdated", &["cursor", "chatSession"]),
        (
            "ParticipantsChanged",
            &["cursor", "joined", "left", "participantCount"],
        ),
        (
            "PresenceChanged",
            &["cursor", "cameOnline", "wentOffline", "onlineCount"],
        ),
        ("ChatTyping", &["cursor", "user"]),
        (
            "Chat",
            &[
                "id",
                "chatSession",
                "seq",
                "author",
                "content",
                "createdAt",
                "updatedAt",
                "isDeleted",
            ],
        ),
        (
            "ChatSession",
            &[
                "id",
                "name",
                "information",
                "creator",
                "isClosed",
                "isDirect",
                "createdAt",
                "updatedAt",
                "lastActivityAt",
                "lastSeq",
                "participantCount",
                "onlineCount",
            ],
        ),
        ("User", &["id", "name", "joinedAt", "updatedAt"]),
    ],
};

/// These users, without those whose accounts are deleted.
async fn users(ctx: &Context<'_>, ids: &[UserId]) -> Result<Vec<Direct<User>>> {
    let users = join_all(ids.iter().map(|id| ctx.load::<UserById>(*id))).await;
    let users = users.into_iter().filter_map(Result::transpose);
    users.map(|user| user.map(Direct)).collect()
}

/// What happens in chat sessions.
#[derive(Default)]
pub struct ChatSubscription;

#[Subscription]
impl ChatSubscription {
    /// What happens in a chat session: first every chat that has changed after the cursor, each once and as it is now;
    /// then `ChatReady`; then what happens live, without a hole and without a repetition. Without a cursor, it begins
    /// with `ChatReady`. A cursor that cannot be honoured (damaged, of another session, or more than LIMIT_REPLAY changes ago)
    /// ends it with RESYNC_REQUIRED: reload the chats and subscribe again with their `eventCursor`.
    #[graphql(directive = auth::apply(Access::Participant))]
    async fn chat_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A session in which the viewer takes part; admins may follow all.")]
        chat_session_id: ID,
        #[graphql(desc = "The cursor of the last event, or the eventCursor of a page of chats.")]
        after: Option<String>,
        #[graphql(desc = "Whether to tell who comes online and goes offline.", default)]
        presence: bool,
    ) -> Result<BoxStream<'static, Result<ChatEvent>>> {
        let session = input::id("chatSessionId", &chat_session_id)?;
        let convert = move |event: Event| ChatEvent::of(session, event);
        if let Some(Given(event)) = ctx.data_opt::<Given>() {
            let event = event.downcast_ref::<Event>().cloned();
            let event = event.ok_or_else(|| Error::internal("an event of another kind"));
            return Ok(stream::once(std::future::ready(event.map(convert))).boxed());
        }
        let after = after.map(|after| cursor::decode(session, &after).ok_or(Error::ResyncRequired));
        let wish = Wish {
            session,
            after: after.transpose()?,
            presence,
        };
        let caller = Arc::clone(ctx.data_unchecked::<Arc<Caller>>());
        let offer = ctx.data_opt::<Arc<Offer>>();
        let shape = offer.map(|offer| offer.shape.clone());
        // Boxed: every event of any subscription would copy it.
        let deliveries = Box::pin(live::subscribe(ctx.app().clone(), caller, wish, shape)).await?;
        if let Some(offer) = offer {
            offer.accept(deliveries.map(|delivery| delivery.map(piece)).boxed());
            return Ok(stream::empty().boxed());
        }
        let events = deliveries.filter_map(|delivery| {
            std::future::ready(delivery.map(Delivery::into_event).transpose())
        });
        Ok(events.map(move |event| event.map(convert)).boxed())
    }

    /// The viewer's chat sessions whenever one has something new: a chat, an invitation, a change, or that the viewer
    /// takes part no more. For each session at most once a second.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn chat_session_changed(
        &self,
        ctx: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<ChatSession>> + use<>> {
        let caller = Arc::clone(ctx.data_unchecked::<Arc<Caller>>());
        live::badges(ctx.app().clone(), caller).await
    }
}
