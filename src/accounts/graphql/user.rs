//! The types `User` and `SignInSession`.

use async_graphql::{Context, ID, Object};

use crate::{
    access::{Access, Role, auth},
    accounts::{BanReason, SignInSession, User, store::sessions::SessionsOfUser},
    boards::{Board, store::BoardList},
    clock::Timestamp,
    comments::{Comment, store::CommentList},
    connection::{Connection, PageArgs},
    context::{ContextExt, Listed, owned_by},
    error::Result,
    posts::{
        Post,
        list::{PostList, PostOrder},
    },
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
        &self.name.text
    }

    /// The e-mail address.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.id)")]
    async fn email(&self) -> Option<&str> {
        Some(&self.email.text)
    }

    /// What the user may do in general.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.id)")]
    async fn role(&self) -> Option<Role> {
        Some(self.role)
    }

    /// Whether the user is banned.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn is_banned(&self) -> Option<bool> {
        Some(self.is_banned)
    }

    /// Why the user is banned, as the user is told.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn ban_reason(&self) -> Option<&str> {
        self.ban_reason.as_ref().map(BanReason::as_str)
    }

    /// When the user signed up.
    async fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// When the account was last changed; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// What the user has posted, as far as the viewer may read it.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In this order; else the newest first.")] order_by: Option<PostOrder>,
        #[graphql(desc = "So many from the front, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Post>> {
        let list = PostList {
            author: Some(self.id),
            order: order_by,
            ..PostList::default()
        };
        let page = PageArgs::new(first, after, last, before);
        ctx.list(list, page).await
    }

    /// What the user has commented, newest first, as far as the viewer may read it.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the front, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Comment>> {
        let page = PageArgs::new(first, after, last, before);
        ctx.list(CommentList::ByUser(self.id), page).await
    }

    /// Private boards that the user may enter, by name.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.id)")]
    async fn granted_boards(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the front, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Board>> {
        let page = PageArgs::new(first, after, last, before);
        ctx.list(BoardList::GrantedTo(self.id), page).await
    }

    /// Devices that are signed in, latest use first.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.id)")]
    async fn sign_in_sessions(&self, ctx: &Context<'_>) -> Result<Option<Vec<SignInSession>>> {
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
