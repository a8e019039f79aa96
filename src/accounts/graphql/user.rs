//! The types `User` and `SignInSession`.

use async_graphql::{Context, ID, Object};

use crate::{
    access::{Access, Role, auth},
    accounts::{SignInSession, User, store::sessions::SessionsOfUser},
    clock::Timestamp,
    context::ContextExt,
    error::Result,
};

/// Somebody who has signed up.
#[Object]
impl User {
    /// The user's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// What the user is called: a letter, then letters, digits and underscores, 1 to 64 characters.
    async fn name(&self) -> &str {
        &self.name
    }

    /// The e-mail address. Access: the owner or an admin.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn email(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        ctx.caller().owner_or_admin(Some(self.id))?;
        Ok(Some(&self.email))
    }

    /// What the user may do in general. Access: the owner or an admin.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn role(&self, ctx: &Context<'_>) -> Result<Option<Role>> {
        ctx.caller().owner_or_admin(Some(self.id))?;
        Ok(Some(self.role))
    }

    /// Whether the user is banned. Access: admins.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn is_banned(&self, ctx: &Context<'_>) -> Result<Option<bool>> {
        ctx.caller().admin()?;
        Ok(Some(self.is_banned))
    }

    /// Why the user is banned, as the user is told. Access: admins.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn ban_reason(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        ctx.caller().admin()?;
        Ok(self.ban_reason.as_deref())
    }

    /// When the user signed up.
    async fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// When the account was last changed; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// Devices that are signed in, latest use first. Access: the owner or an admin.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn sign_in_sessions(&self, ctx: &Context<'_>) -> Result<Option<Vec<SignInSession>>> {
        ctx.caller().owner_or_admin(Some(self.id))?;
        Ok(Some(
            ctx.load::<SessionsOfUser>(self.id)
                .await?
                .unwrap_or_default(),
        ))
    }
}

/// A device that is signed in.
#[Object]
impl SignInSession {
    /// The session's id, as `revokeSignInSession` takes it.
    async fn id(&self) -> ID {
        self.id.into()
    }

    /// When the device signed in.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When its right was last renewed.
    async fn last_used_at(&self) -> Timestamp {
        self.last_used_at
    }

    /// When it ends unless it is renewed.
    async fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// What the device called itself when it signed in.
    async fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The address that it signed in from.
    async fn ip(&self) -> Option<&str> {
        self.ip.as_deref()
    }

    /// Whether this is the session of the request.
    async fn is_current(&self, ctx: &Context<'_>) -> bool {
        ctx.actor()
            .signed_in()
            .is_some_and(|signed_in| signed_in.session == self.id)
    }
}
