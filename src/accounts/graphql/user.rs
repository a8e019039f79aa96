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
        store::{PostList, PostOrder},
    },
};

/// A user account.
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

    /// The user's role.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.id)")]
    async fn role(&self) -> Option<Role> {
        Some(self.role)
    }

    /// Whether the user is banned.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn is_banned(&self) -> Option<bool> {
        Some(self.is_banned)
    }

    /// The reason for the ban. The user sees it too.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn ban_reason(&self) -> Option<&str> {
        self.ban_reason.as_ref().map(BanReason::as_str)
    }

    /// When the user signed up.
    async fn joined_at(&self) -> Timestamp {
        self.joined_at
    }

    /// When the account was last edited; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// The user's posts that the viewer may read.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The order; newest first by default.")] order_by: Option<PostOrder>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Post>> {
        let list = PostList {
            author: Some(self.id),
            order: order_by,
            ..PostList::default()
        };
        let page = PageArgs::new(first, after, last, before);
        ctx.list(list, page).await
    }

    /// The user's comments that the viewer may read, newest first.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Comment>> {
        let page = PageArgs::new(first, after, last, before);
        ctx.list(CommentList::ByUser(self.id), page).await
    }

    /// Private boards that the user may enter, by name.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.id)")]
    async fn granted_boards(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Board>> {
        let page = PageArgs::new(first, after, last, before);
        ctx.list(BoardList::GrantedTo(self.id), page).await
    }

    /// Devices that are signed in, most recently used first.
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

    /// When its tokens were last refreshed.
    async fn last_used_at(&self) -> Timestamp {
        self.last_used_at
    }

    /// When it expires unless it is refreshed.
    async fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The User-Agent header of the sign-in.
    async fn user_agent(&self) -> Option<&str> {
        self.user_agent.as_deref()
    }

    /// The IP address of the sign-in.
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
