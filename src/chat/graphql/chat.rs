//! The type `Chat`, and operations on what is said.

use async_graphql::{
    Context, ID, InputObject, MergedObject, Object, OutputType, SimpleObject,
    connection::ConnectionNameType,
};

use super::cursor;
use crate::{
    access::{Access, auth},
    accounts::{User, store::users::UserById},
    chat::{
        Chat, ChatSession, Content, IdempotencyKey, Rev,
        store::{
            ParticipationOfActor, SessionOfReadable,
            talk::{self, ReadableChat},
        },
    },
    clock::Timestamp,
    connection::Connection,
    context::ContextExt,
    direct::Direct,
    error::{Error, Result},
    ids::ChatSessionId,
    input::{self, Violations},
};

/// Something that was said in a chat session.
#[Object]
impl Chat {
    /// The chat's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// The session in which it was said.
    async fn chat_session(&self, ctx: &Context<'_>) -> Result<Direct<ChatSession>> {
        let session = ctx.load::<SessionOfReadable>(self.session).await?;
        session.map(Direct).ok_or(Error::NotFound)
    }

    /// Its place in the session: 1, 2, 3 … without a gap, in the order in which chats were saved. It never changes.
    async fn seq(&self) -> i32 {
        self.seq
    }

    /// Who said it; null once the account is deleted.
    async fn author(&self, ctx: &Context<'_>) -> Result<Option<Direct<User>>> {
        Ok(ctx.load::<UserById>(self.author).await?.map(Direct))
    }

    /// What was said, 1 to 2 000 characters of plain text; empty once deleted.
    async fn content(&self) -> &str {
        &self.content
    }

    /// When it was said.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was last edited, or when it was deleted; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// Whether it is deleted. Its place stays.
    async fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// The mark under which the viewer has sent it; null for other viewers.
    async fn idempotency_key(&self, ctx: &Context<'_>) -> Option<&str> {
        let is_own = ctx.actor().id() == Some(self.author);
        self.idempotency_key.as_deref().filter(|_| is_own)
    }

    /// Whether the viewer can edit it.
    async fn viewer_can_edit(&self, ctx: &Context<'_>) -> Result<bool> {
        if ctx.actor().id() != Some(self.author) || self.is_deleted {
            return Ok(false);
        }
        let session = ctx.load::<SessionOfReadable>(self.session).await?;
        let own = ctx.load::<ParticipationOfActor>(self.session).await?;
        Ok(own.is_some() && session.is_some_and(|session| !session.is_closed))
    }

    /// Whether the viewer can delete it.
    async fn viewer_can_delete(&self, ctx: &Context<'_>) -> Result<bool> {
        let actor = ctx.actor();
        if self.is_deleted || actor.signed_in().is_none() {
            return Ok(false);
        }
        let Some(session) = ctx.load::<SessionOfReadable>(self.session).await? else {
            return Ok(false);
        };
        let may = actor.owns(Some(self.author)) || actor.owns(session.creator_id);
        Ok(may && !session.is_closed)
    }
}

/// A page of what was said.
#[derive(MergedObject)]
#[graphql(name = "ChatConnection")]
pub struct ChatConnection(pub Connection<Chat, ChatPageName>, pub EventCursor);

/// Names the part of `ChatConnection` that it shares with all connections. The schema does not show it.
pub struct ChatPageName;

impl ConnectionNameType for ChatPageName {
    fn type_name<T: OutputType>() -> String {
        "ChatPage".to_owned()
    }
}

/// Where events go on after a page.
pub struct EventCursor {
    pub session: ChatSessionId,
    pub rev: Rev,
}

#[Object]
impl EventCursor {
    /// Where to go on: `chatEvents(after: eventCursor)` brings every change that the page does not show, without a hole.
    async fn event_cursor(&self) -> String {
        cursor::encode(self.session, self.rev)
    }
}

/// Queries about chats.
#[derive(Default)]
pub struct ChatQuery;

#[Object]
impl ChatQuery {
    /// The chat with this id, in a session in which the viewer takes part. Admins may read all.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat's id.")] id: ID,
    ) -> Result<Option<Direct<Chat>>> {
        let chat = ctx.load::<ReadableChat>(input::id("id", &id)?).await?;
        chat.map(Direct).map(Some).ok_or(Error::NotFound)
    }
}

/// The input of `sendChat`.
#[derive(InputObject)]
struct SendChatInput {
    /// A session in which the viewer takes part.
    chat_session_id: ID,
    /// 1 to 2 000 characters of plain text.
    content: String,
    /// 16 to 64 characters, such as a UUID. A message that is sent again under the same key is the same chat; another
    /// message under it is a CONFLICT.
    idempotency_key: Option<String>,
}

/// The result of `sendChat`.
#[derive(SimpleObject)]
struct SendChatPayload {
    /// The chat, which is saved.
    chat: Chat,
}

/// The input of `updateChat`.
#[derive(InputObject)]
struct UpdateChatInput {
    /// A chat of the viewer's own.
    id: ID,
    /// 1 to 2 000 characters of plain text.
    content: String,
}

/// The result of `updateChat`.
#[derive(SimpleObject)]
struct UpdateChatPayload {
    /// The edited chat.
    chat: Chat,
}

/// The input of `deleteChat`.
#[derive(InputObject)]
struct DeleteChatInput {
    /// The chat to delete.
    id: ID,
}

/// The result of `deleteChat`.
#[derive(SimpleObject)]
struct DeleteChatPayload {
    /// The deleted chat, which is empty.
    chat: Chat,
}

/// The input of `markChatSessionRead`.
#[derive(InputObject)]
struct MarkChatSessionReadInput {
    /// A session in which the viewer takes part.
    id: ID,
    /// The place of the newest chat that the viewer has read. Going back changes nothing.
    seq: i32,
}

/// The result of `markChatSessionRead`.
#[derive(SimpleObject)]
struct MarkChatSessionReadPayload {
    /// The session.
    chat_session: ChatSession,
}

/// The input of `setTyping`.
#[derive(InputObject)]
struct SetTypingInput {
    /// A session in which the viewer takes part.
    chat_session_id: ID,
}

/// The result of `setTyping`.
#[derive(SimpleObject)]
struct SetTypingPayload {
    /// Always true.
    success: bool,
}

/// Changes of chats.
#[derive(Default)]
pub struct ChatMutation;

#[Object]
impl ChatMutation {
    /// Says something in a chat session. At most 10 chats in 10 seconds.
    #[graphql(directive = auth::apply(Access::Participant))]
    async fn send_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to say, and where.")] input: SendChatInput,
    ) -> Result<Option<SendChatPayload>> {
        let (session, content, key) = Violations::check(|v| {
            (
                v.id("chatSessionId", &input.chat_session_id),
                v.field("content", Content::parse(&input.content)),
                v.optional(
                    "idempotencyKey",
                    input.idempotency_key,
                    IdempotencyKey::parse,
                ),
            )
        })?;
        let chat = talk::send(ctx.app(), &ctx.signed_in()?, session, content, key).await?;
        Ok(Some(SendChatPayload { chat }))
    }

    /// Edits a chat of the viewer's own.
    #[graphql(directive = auth::apply(Access::Participant))]
    async fn update_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat and its new content.")] input: UpdateChatInput,
    ) -> Result<Option<UpdateChatPayload>> {
        let (id, content) = Violations::check(|v| {
            (
                v.id("id", &input.id),
                v.field("content", Content::parse(&input.content)),
            )
        })?;
        let chat = talk::update(ctx.app(), &ctx.signed_in()?, id, content).await?;
        Ok(Some(UpdateChatPayload { chat }))
    }

    /// Deletes a chat: its author, the creator of the session and admins may. Its place stays, empty.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn delete_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chat.")] input: DeleteChatInput,
    ) -> Result<Option<DeleteChatPayload>> {
        let id = input::id("id", &input.id)?;
        let chat = talk::delete(ctx.app(), &ctx.act(ctx.signed_in()?), id).await?;
        Ok(Some(DeleteChatPayload { chat }))
    }

    /// Tells the others that the viewer is about to say something. They are told every 3 seconds at most.
    #[graphql(directive = auth::apply(Access::Participant))]
    async fn set_typing(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where.")] input: SetTypingInput,
    ) -> Result<Option<SetTypingPayload>> {
        let id = input::id("chatSessionId", &input.chat_session_id)?;
        talk::announce_typing(ctx.app(), &ctx.signed_in()?, id).await?;
        Ok(Some(SetTypingPayload { success: true }))
    }

    /// Notes how far the viewer has read.
    #[graphql(directive = auth::apply(Access::Participant))]
    async fn mark_chat_session_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session and the place.")] input: MarkChatSessionReadInput,
    ) -> Result<Option<MarkChatSessionReadPayload>> {
        let id = input::id("id", &input.id)?;
        let session = talk::mark_read(ctx.app(), &ctx.signed_in()?, id, input.seq).await?;
        Ok(Some(MarkChatSessionReadPayload {
            chat_session: session,
        }))
    }
}
