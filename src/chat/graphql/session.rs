//! The type `ChatSession`, and operations on whole sessions.

use std::{collections::HashSet, sync::Arc};

use async_graphql::{
    Context, Guard, ID, InputObject, MaybeUndefined, Object, SimpleObject,
    connection::{ConnectionNameType, Edge, EdgeNameType},
};
use futures_util::FutureExt;

use super::chat::{ChatConnection, EventCursor};
use crate::{
    access::{Access, auth},
    accounts::{User, store::users::UserById},
    chat::{
        Chat, ChatSession, Information, SessionName,
        store::{
            self, InvitationOfActor, ParticipantList, ParticipationOfActor, SessionFilter,
            SessionList,
            presence::OnlineIn,
            sessions::{self, NewSession, SessionChanges},
            talk::{HeadOfSession, NewestChat, PageOfChats},
        },
    },
    clock::Timestamp,
    connection::{self, Connection, Cursors, PageArgs, SEARCHING, Total, cost},
    context::{ContextExt, Listed, owned_by},
    direct::Direct,
    error::{Error, Result},
    ids::{ChatSessionId, UserId},
    input::{self, Violations},
};

/// The guard for fields with `@auth(requires: PARTICIPANT)`: withholds the field from callers who neither take part in
/// the session nor are admins.
pub struct ParticipantOf(pub ChatSessionId);

impl Guard for ParticipantOf {
    async fn check(&self, ctx: &Context<'_>) -> async_graphql::Result<()> {
        let participation = ctx.load::<ParticipationOfActor>(self.0).await?;
        Ok(ctx.caller().participant_or_admin(participation.is_some())?)
    }
}

/// A place to chat in.
#[Object]
impl ChatSession {
    /// The session's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// What the session is called, 1 to 64 characters. Several may have the same name.
    async fn name(&self) -> &str {
        &self.name.text
    }

    /// What the session is for, 1 to 256 characters.
    async fn information(&self) -> &str {
        self.information.as_str()
    }

    /// Who created it; null once the account is deleted.
    async fn creator(&self, ctx: &Context<'_>) -> Result<Option<Direct<User>>> {
        match self.creator_id {
            Some(id) => Ok(ctx.load::<UserById>(id).await?.map(Direct)),
            None => Ok(None),
        }
    }

    /// Whether every user can find and join it. If not, only participants, invited users and admins can see it.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.creator_id)")]
    async fn is_visible(&self) -> Option<bool> {
        Some(self.is_visible)
    }

    /// Whether nobody can write any more. What was said stays readable.
    async fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether it is a direct chat between two users, made by `startDirectChat`.
    #[graphql(name = "isDirect")]
    async fn is_direct_chat(&self) -> bool {
        self.is_direct()
    }

    /// When it was created.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was last edited; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// When something was last said in it, or when it was created. About a second behind.
    async fn last_activity_at(&self) -> Timestamp {
        self.last_activity_at
    }

    /// The place of the newest chat, 0 when nothing was said yet.
    async fn last_seq(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        let newest = ctx.load::<NewestChat>(self.id).await?;
        Ok(Some(newest.map_or(0, |chat| chat.seq)))
    }

    /// The newest chat.
    #[graphql(directive = auth::apply(Access::Participant), guard = "ParticipantOf(self.id)")]
    async fn last_chat(&self, ctx: &Context<'_>) -> Result<Option<Direct<Chat>>> {
        Ok(ctx.load::<NewestChat>(self.id).await?.map(Direct))
    }

    /// How many chats the viewer has not read; null for users who do not take part.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        let Some(own) = ctx.load::<ParticipationOfActor>(self.id).await? else {
            return Ok(None);
        };
        let newest = ctx.load::<NewestChat>(self.id).await?;
        let last = newest.map_or(0, |chat| chat.seq);
        Ok(Some((last - own.read_seq).max(0)))
    }

    /// Whether the viewer takes part.
    async fn viewer_is_participant(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(ctx.load::<ParticipationOfActor>(self.id).await?.is_some())
    }

    /// Whether the viewer is invited, and has neither joined nor declined yet.
    async fn viewer_is_invited(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(ctx.load::<InvitationOfActor>(self.id).await?.is_some())
    }

    /// Whether the viewer can send chats.
    async fn viewer_can_send(&self, ctx: &Context<'_>) -> Result<bool> {
        let takes_part = ctx.load::<ParticipationOfActor>(self.id).await?.is_some();
        Ok(takes_part && !self.is_closed)
    }

    /// Whether the viewer can change the session, invite and remove users.
    async fn viewer_can_manage(&self, ctx: &Context<'_>) -> bool {
        ctx.actor().owns(self.creator_id) && !self.is_direct()
    }

    /// The newest chat that the viewer has read, by its `seq`; null for users who do not take part.
    async fn viewer_last_read_seq(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        let participation = ctx.load::<ParticipationOfActor>(self.id).await?;
        Ok(participation.map(|participation| participation.read_seq))
    }

    /// How many users take part.
    async fn participant_count(&self) -> i32 {
        self.participant_count
    }

    /// How many participants have a live subscription, on any server; null while that is not known.
    async fn online_count(&self, ctx: &Context<'_>) -> Result<Option<i32>> {
        let online = online_in(ctx, self.id).await?;
        Ok(online.map(|online| i32::try_from(online.len()).unwrap_or(i32::MAX)))
    }

    /// Who takes part, in the order in which they joined.
    #[graphql(directive = auth::apply(Access::Participant), guard = "ParticipantOf(self.id)")]
    async fn participants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<ChatParticipantConnection> {
        let page = PageArgs::new(first, after, last, before);
        let session = self.id;
        let edge = |cursor, (user, joined_at): (User, Timestamp)| {
            let joining = Joining {
                session,
                user: user.id,
                joined_at,
            };
            Edge::with_additional_fields(cursor, Direct(user), joining)
        };
        ctx.list_with(ParticipantList(self.id), page, edge).await
    }

    /// What was said, oldest first. `last: 50` is the first page of a chat window.
    #[graphql(directive = auth::apply(Access::Participant), guard = "ParticipantOf(self.id)")]
    async fn chats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<ChatConnection> {
        let session = self.id;
        let page = PageArgs::new(first, after, last, before);
        let page = page.page(Cursors::Chats, ctx.app().config.limits.page)?;
        // Before the page: a change between the two is in both, never in neither.
        let head = ctx
            .load::<HeadOfSession>(session)
            .await?
            .unwrap_or_default();
        let slice = ctx.load::<PageOfChats>((session, page)).await?;
        let total = Total::new(move |ctx| chat_count(ctx, session).boxed());
        let Direct(connection) = slice.unwrap_or_default().connection(total, |chat: Chat| {
            let cursor = connection::encode(Cursors::Chats, &i64::from(chat.seq));
            Edge::new(cursor, Direct(chat))
        });
        let rev = head.rev;
        let cursor = EventCursor { session, rev };
        Ok(Some(Direct(ChatConnection(connection, cursor))))
    }
}

/// The number of chats, which is the place of the newest one.
async fn chat_count(ctx: &Context<'_>, session: ChatSessionId) -> Result<Option<i64>> {
    let newest = ctx.load::<NewestChat>(session).await?;
    Ok(Some(newest.map_or(0, |chat| chat.seq.into())))
}

/// Users who take part in a chat session.
pub type ChatParticipantConnection =
    Connection<User, ChatParticipantConnectionName, ChatParticipantEdgeName, Joining>;

/// The fields of an edge to a participant.
pub struct Joining {
    session: ChatSessionId,
    user: UserId,
    joined_at: Timestamp,
}

#[Object]
impl Joining {
    /// When the user joined.
    async fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// Whether the user has a live subscription, on any server; null while that is not known.
    async fn is_online(&self, ctx: &Context<'_>) -> Result<Option<bool>> {
        let online = online_in(ctx, self.session).await?;
        Ok(online.map(|online| online.contains(&self.user)))
    }
}

/// Who is online in a session, if that is known.
async fn online_in(
    ctx: &Context<'_>,
    session: ChatSessionId,
) -> Result<Option<Arc<HashSet<UserId>>>> {
    match ctx.load::<OnlineIn>(session).await {
        Err(Error::Unavailable { .. }) => Ok(None),
        online => online,
    }
}

/// Names the type, which has users as nodes but is not `UserConnection`.
pub struct ChatParticipantConnectionName;

impl ConnectionNameType for ChatParticipantConnectionName {
    fn type_name<T: async_graphql::OutputType>() -> String {
        "ChatParticipantConnection".to_owned()
    }
}

/// Names the type, which has users as nodes but is not `UserConnection`.
pub struct ChatParticipantEdgeName;

impl EdgeNameType for ChatParticipantEdgeName {
    fn type_name<T: async_graphql::OutputType>() -> String {
        "ChatParticipantEdge".to_owned()
    }
}

/// Queries about chat sessions.
#[derive(Default)]
pub struct SessionQuery;

#[Object]
impl SessionQuery {
    /// The chat session with this id.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn chat_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session's id.")] id: ID,
    ) -> Result<Option<Direct<ChatSession>>> {
        let id = input::id("id", &id)?;
        let session = ctx.load::<store::ReadableSession>(id).await?;
        session.map(Direct).map(Some).ok_or(Error::NotFound)
    }

    /// Chat sessions, latest activity first.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the arguments of the schema"
    )]
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn chat_sessions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which sessions.", default_with = "SessionFilter::Joined")]
        filter: SessionFilter,
        #[graphql(
            desc = "Returns items whose name begins with this, in any case.",
            directive = cost::apply(SEARCHING.to_owned())
        )]
        search: Option<String>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<ChatSession>> {
        let page = PageArgs::new(first, after, last, before);
        let name_prefix = input::search(search)?;
        let list = SessionList {
            filter,
            name_prefix,
        };
        ctx.list(list, page).await
    }
}

/// The input of `createChatSession`.
#[derive(InputObject)]
struct CreateChatSessionInput {
    /// 1 to 64 characters.
    name: String,
    /// What the session is for, 1 to 256 characters.
    information: String,
    /// Whether every user can find and join it.
    #[graphql(default = true)]
    is_visible: bool,
    /// Whether nobody can write.
    #[graphql(default = false)]
    is_closed: bool,
    /// Users to invite, at most 100.
    invite_ids: Option<Vec<ID>>,
}

/// The result of `createChatSession`.
#[derive(SimpleObject)]
struct CreateChatSessionPayload {
    /// The new session, in which the viewer takes part.
    chat_session: ChatSession,
}

/// The input of `startDirectChat`.
#[derive(InputObject)]
struct StartDirectChatInput {
    /// The other user.
    user_id: ID,
}

/// The result of `startDirectChat`.
#[derive(SimpleObject)]
struct StartDirectChatPayload {
    /// The chat of the two; always the same one.
    chat_session: ChatSession,
}

/// The input of `updateChatSession`. Fields that are left out stay as they are.
#[derive(InputObject)]
struct UpdateChatSessionInput {
    /// The session to change.
    id: ID,
    /// 1 to 64 characters.
    name: MaybeUndefined<String>,
    /// What the session is for, 1 to 256 characters.
    information: MaybeUndefined<String>,
    /// Whether every user can find and join it.
    is_visible: MaybeUndefined<bool>,
    /// Whether nobody can write.
    is_closed: MaybeUndefined<bool>,
}

/// The result of `updateChatSession`.
#[derive(SimpleObject)]
struct UpdateChatSessionPayload {
    /// The changed session.
    chat_session: ChatSession,
}

/// The input of `deleteChatSession`.
#[derive(InputObject)]
struct DeleteChatSessionInput {
    /// The session to delete.
    id: ID,
}

/// The result of `deleteChatSession`.
#[derive(SimpleObject)]
struct DeleteChatSessionPayload {
    /// The id of the deleted session.
    deleted_chat_session_id: ID,
}

/// Changes of chat sessions.
#[derive(Default)]
pub struct SessionMutation;

#[Object]
impl SessionMutation {
    /// Creates a chat session, in which the viewer takes part.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn create_chat_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session to create.")] input: CreateChatSessionInput,
    ) -> Result<Option<CreateChatSessionPayload>> {
        let app = ctx.app();
        let most = app.config.limits.ids;
        let (name, information, invited) = Violations::check(|v| {
            (
                v.field("name", SessionName::parse(&input.name)),
                v.field("information", Information::parse(&input.information)),
                Some(v.ids("inviteIds", input.invite_ids, most)),
            )
        })?;
        let new = NewSession {
            name,
            information,
            is_visible: input.is_visible,
            is_closed: input.is_closed,
            invited,
        };
        let chat_session = sessions::insert(app, &ctx.signed_in()?, new).await?;
        Ok(Some(CreateChatSessionPayload { chat_session }))
    }

    /// Starts the direct chat with another user. The same two users always have the same one.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn start_direct_chat(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "With whom.")] input: StartDirectChatInput,
    ) -> Result<Option<StartDirectChatPayload>> {
        let other = input::id("userId", &input.user_id)?;
        let chat_session = sessions::start_direct(ctx.app(), &ctx.signed_in()?, other).await?;
        Ok(Some(StartDirectChatPayload { chat_session }))
    }

    /// Changes a chat session; not a direct chat.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn update_chat_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session and the changes.")] input: UpdateChatSessionInput,
    ) -> Result<Option<UpdateChatSessionPayload>> {
        let (id, changes) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let changes = SessionChanges {
                name: v.new_text("name", input.name, SessionName::parse),
                information: v.new_text("information", input.information, Information::parse),
                is_visible: v.change("isVisible", input.is_visible),
                is_closed: v.change("isClosed", input.is_closed),
            };
            (id, Some(changes))
        })?;
        let chat_session = sessions::update(ctx.app(), &ctx.signed_in()?, id, changes).await?;
        Ok(Some(UpdateChatSessionPayload { chat_session }))
    }

    /// Deletes a chat session with all that was said in it.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn delete_chat_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session to delete.")] input: DeleteChatSessionInput,
    ) -> Result<Option<DeleteChatSessionPayload>> {
        let id = input::id("id", &input.id)?;
        sessions::delete(ctx.app(), &ctx.act(ctx.signed_in()?), id).await?;
        Ok(Some(DeleteChatSessionPayload {
            deleted_chat_session_id: id.into(),
        }))
    }
}
