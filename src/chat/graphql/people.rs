//! Operations on who takes part in chat sessions.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::{
    access::{Access, auth},
    chat::{ChatSession, store::people},
    context::ContextExt,
    error::Result,
    input::{self, Violations},
};

/// The input of `joinChatSession`.
#[derive(InputObject)]
struct JoinChatSessionInput {
    /// A visible session, or one that the viewer is invited to.
    id: ID,
}

/// The result of `joinChatSession`.
#[derive(SimpleObject)]
struct JoinChatSessionPayload {
    /// The session, in which the viewer takes part.
    chat_session: ChatSession,
}

/// The input of `leaveChatSession`.
#[derive(InputObject)]
struct LeaveChatSessionInput {
    /// The session to leave.
    id: ID,
}

/// The result of `leaveChatSession`.
#[derive(SimpleObject)]
struct LeaveChatSessionPayload {
    /// The session; null when the viewer can no longer see it.
    chat_session: Option<ChatSession>,
}

/// The input of `inviteToChatSession`.
#[derive(InputObject)]
struct InviteToChatSessionInput {
    /// The session.
    id: ID,
    /// Users to invite, at most 100.
    user_ids: Vec<ID>,
}

/// The result of `inviteToChatSession`.
#[derive(SimpleObject)]
struct InviteToChatSessionPayload {
    /// The session.
    chat_session: ChatSession,
}

/// The input of `declineChatInvitation`.
#[derive(InputObject)]
struct DeclineChatInvitationInput {
    /// The session that the viewer is invited to.
    id: ID,
}

/// The result of `declineChatInvitation`.
#[derive(SimpleObject)]
struct DeclineChatInvitationPayload {
    /// The id of the session.
    declined_chat_session_id: ID,
}

/// The input of `removeChatParticipants`.
#[derive(InputObject)]
struct RemoveChatParticipantsInput {
    /// The session.
    id: ID,
    /// Participants and invited users to remove, at most 100.
    user_ids: Vec<ID>,
}

/// The result of `removeChatParticipants`.
#[derive(SimpleObject)]
struct RemoveChatParticipantsPayload {
    /// The session.
    chat_session: ChatSession,
}

/// Changes of who takes part.
#[derive(Default)]
pub struct PeopleMutation;

#[Object]
impl PeopleMutation {
    /// Joins a visible chat session, or accepts an invitation. Joining again changes nothing.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn join_chat_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session.")] input: JoinChatSessionInput,
    ) -> Result<Option<JoinChatSessionPayload>> {
        let id = input::id("id", &input.id)?;
        let chat_session = people::join(ctx.app(), &ctx.signed_in()?, id).await?;
        Ok(Some(JoinChatSessionPayload { chat_session }))
    }

    /// Leaves a chat session. A direct chat only leaves the viewer's list, until something is said in it.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn leave_chat_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session.")] input: LeaveChatSessionInput,
    ) -> Result<Option<LeaveChatSessionPayload>> {
        let id = input::id("id", &input.id)?;
        let chat_session = people::leave(ctx.app(), &ctx.signed_in()?, id).await?;
        Ok(Some(LeaveChatSessionPayload { chat_session }))
    }

    /// Invites users to a chat session. Those who take part already stay as they are.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn invite_to_chat_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session and the users.")] input: InviteToChatSessionInput,
    ) -> Result<Option<InviteToChatSessionPayload>> {
        let app = ctx.app();
        let most = app.config.limits.ids;
        let (id, users) = Violations::check(|v| {
            (
                v.id("id", &input.id),
                Some(v.ids("userIds", Some(input.user_ids), most)),
            )
        })?;
        let chat_session = people::invite(app, &ctx.signed_in()?, id, users).await?;
        Ok(Some(InviteToChatSessionPayload { chat_session }))
    }

    /// Declines an invitation.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn decline_chat_invitation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session.")] input: DeclineChatInvitationInput,
    ) -> Result<Option<DeclineChatInvitationPayload>> {
        let id = input::id("id", &input.id)?;
        people::decline(ctx.app(), &ctx.signed_in()?, id).await?;
        Ok(Some(DeclineChatInvitationPayload {
            declined_chat_session_id: id.into(),
        }))
    }

    /// Removes users from a chat session, and takes their invitations back.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn remove_chat_participants(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session and the users.")] input: RemoveChatParticipantsInput,
    ) -> Result<Option<RemoveChatParticipantsPayload>> {
        let app = ctx.app();
        let most = app.config.limits.ids;
        let (id, users) = Violations::check(|v| {
            (
                v.id("id", &input.id),
                Some(v.ids("userIds", Some(input.user_ids), most)),
            )
        })?;
        let act = ctx.act(ctx.signed_in()?);
        let chat_session = people::remove(app, &act, id, users).await?;
        Ok(Some(RemoveChatParticipantsPayload { chat_session }))
    }
}
