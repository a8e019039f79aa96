//! Posts in the schema.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject, Subscription};
use futures_util::Stream;

use super::{
    Content, Post, Title,
    list::{PostList, PostOrder},
    live::PostsOf,
    store::{
        self, ContentOfPost, NewPost, PostChanges, ReadablePost,
        likes::{self, LikedByActor},
        views,
    },
};
use crate::{
    access::{Access, auth},
    accounts::{User, store::users::UserById},
    boards::{Board, store::BoardOfReadable},
    clock::Timestamp,
    comments::{Comment, store::CommentList},
    connection::{Connection, PageArgs},
    context::{ContextExt, Listed, owned_by},
    direct::Direct,
    error::{Error, Result},
    ids::{BoardId, UserId},
    input::{self, Violations},
    terms::Search,
};

/// What somebody wrote on a board.
#[Object]
impl Post {
    /// The post's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// The board that it stands on.
    async fn board(&self, ctx: &Context<'_>) -> Result<Direct<Board>> {
        let board = ctx.load::<BoardOfReadable>(self.board_id).await?;
        board.map(Direct).ok_or(Error::NotFound)
    }

    /// Who wrote it; null once the account is deleted.
    async fn author(&self, ctx: &Context<'_>) -> Result<Option<Direct<User>>> {
        match self.author_id {
            Some(id) => Ok(ctx.load::<UserById>(id).await?.map(Direct)),
            None => Ok(None),
        }
    }

    /// One line of 1 to 128 characters.
    async fn title(&self) -> &str {
        self.title.as_str()
    }

    /// 1 to 50 000 characters.
    async fn content(&self, ctx: &Context<'_>) -> Result<String> {
        let content = ctx
            .load::<ContentOfPost>(self.id)
            .await?
            .ok_or(Error::NotFound)?;
        Ok(content)
    }

    /// When it was posted.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was last changed; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// How many times it was opened, one a reader and hour; a few seconds behind.
    async fn view_count(&self) -> i32 {
        self.view_count
    }

    /// How many people like it.
    async fn like_count(&self) -> i32 {
        self.like_count
    }

    /// How many visible comments it has.
    async fn comment_count(&self) -> i32 {
        self.comment_count
    }

    /// Whether every reader of the board may read it; a hidden post exists for its author and admins only.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.author_id)")]
    async fn is_visible(&self) -> Option<bool> {
        Some(self.is_visible)
    }

    /// Whether the viewer likes it.
    async fn viewer_has_liked(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(ctx.load::<LikedByActor>(self.id).await?.is_some())
    }

    /// Whether the viewer may change and delete it.
    async fn viewer_can_edit(&self, ctx: &Context<'_>) -> bool {
        ctx.actor().owns(self.author_id)
    }

    /// Comments that the viewer may read, oldest first.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the front, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Comment>> {
        let page = PageArgs::new(first, after, last, before);
        ctx.list(CommentList::OfPost(self.id), page).await
    }
}

/// Queries about posts.
#[derive(Default)]
pub struct PostQuery;

#[Object]
impl PostQuery {
    /// The post with this id. Selecting its content counts as a view, one a reader and hour.
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post's id.")] id: ID,
    ) -> Result<Option<Direct<Post>>> {
        let post = ctx.load::<ReadablePost>(input::id("id", &id)?).await?;
        let post = post.ok_or(Error::NotFound)?;
        // Who reads the content has opened the post.
        if ctx.look_ahead().field("content").exists() {
            views::count(ctx.app(), ctx.caller(), post.id).await;
        }
        Ok(Some(Direct(post)))
    }

    /// Posts that the viewer may read.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the arguments of the schema"
    )]
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn posts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only posts on this board.")] board_id: Option<ID>,
        #[graphql(desc = "Only posts by this user.")] author_id: Option<ID>,
        #[graphql(
            desc = "Only posts that hold all of these words, or for Korean and its like, all of these syllables in their order. At most 128 characters; blank for all. Without an order, the best 500 come, by their titles first."
        )]
        search: Option<String>,
        #[graphql(desc = "In this order; else the newest first.")] order_by: Option<PostOrder>,
        #[graphql(desc = "So many from the front, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Post>> {
        let (board, author, search) = Violations::check(|v| {
            (
                v.optional("boardId", board_id.as_deref(), BoardId::parse),
                v.optional("authorId", author_id.as_deref(), UserId::parse),
                v.optional("search", search, Search::parse),
            )
        })?;
        let list = PostList {
            board,
            author,
            search: search.flatten(),
            order: order_by,
        };
        let page = PageArgs::new(first, after, last, before);
        ctx.list(list, page).await
    }
}

/// What `createPost` takes.
#[derive(InputObject)]
struct CreatePostInput {
    /// The board to post on.
    board_id: ID,
    /// One line of 1 to 128 characters.
    title: String,
    /// 1 to 50 000 characters.
    content: String,
    /// Whether every reader of the board may read it.
    #[graphql(default = true)]
    is_visible: bool,
}

/// What `createPost` answers.
#[derive(SimpleObject)]
struct CreatePostPayload {
    /// The new post.
    post: Post,
}

/// What `updatePost` takes. What is left out stays as it is.
#[derive(InputObject)]
struct UpdatePostInput {
    /// The post to change.
    id: ID,
    /// One line of 1 to 128 characters.
    title: MaybeUndefined<String>,
    /// 1 to 50 000 characters.
    content: MaybeUndefined<String>,
    /// Whether every reader of the board may read it.
    is_visible: MaybeUndefined<bool>,
}

/// What `updatePost` answers.
#[derive(SimpleObject)]
struct UpdatePostPayload {
    /// The post as changed.
    post: Post,
}

/// What `deletePost` takes.
#[derive(InputObject)]
struct DeletePostInput {
    /// The post to delete.
    id: ID,
}

/// What `deletePost` answers.
#[derive(SimpleObject)]
struct DeletePostPayload {
    /// The id that the post had.
    deleted_post_id: ID,
}

/// What `likePost` takes.
#[derive(InputObject)]
struct LikePostInput {
    /// The post to like.
    id: ID,
}

/// What `likePost` answers.
#[derive(SimpleObject)]
struct LikePostPayload {
    /// The post, with its likes as they are now.
    post: Post,
}

/// What `unlikePost` takes.
#[derive(InputObject)]
struct UnlikePostInput {
    /// The post to like no longer.
    id: ID,
}

/// What `unlikePost` answers.
#[derive(SimpleObject)]
struct UnlikePostPayload {
    /// The post, with its likes as they are now.
    post: Post,
}

/// Changes of posts.
#[derive(Default)]
pub struct PostMutation;

#[Object]
impl PostMutation {
    /// Posts on a board that one may enter.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn create_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post to be.")] input: CreatePostInput,
    ) -> Result<Option<CreatePostPayload>> {
        let (board, title, content) = Violations::check(|v| {
            (
                v.id("boardId", &input.board_id),
                v.field("title", Title::parse(&input.title)),
                v.field("content", Content::parse(&input.content)),
            )
        })?;
        let new = NewPost {
            board,
            title,
            content,
            is_visible: input.is_visible,
        };
        let post = store::insert(ctx.app(), &ctx.signed_in()?, new).await?;
        Ok(Some(CreatePostPayload { post }))
    }

    /// Changes a post, hides or shows it.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn update_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which post, and what to change.")] input: UpdatePostInput,
    ) -> Result<Option<UpdatePostPayload>> {
        let (id, changes) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let changes = PostChanges {
                title: v.new_text("title", input.title, Title::parse),
                content: v.new_text("content", input.content, Content::parse),
                is_visible: v.change("isVisible", input.is_visible),
            };
            (id, Some(changes))
        })?;
        let post = store::update(ctx.app(), &ctx.signed_in()?, id, changes).await?;
        Ok(Some(UpdatePostPayload { post }))
    }

    /// Deletes a post with its comments.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn delete_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which post.")] input: DeletePostInput,
    ) -> Result<Option<DeletePostPayload>> {
        let id = input::id("id", &input.id)?;
        store::delete(ctx.app(), &ctx.act(ctx.signed_in()?), id).await?;
        Ok(Some(DeletePostPayload {
            deleted_post_id: id.into(),
        }))
    }

    /// Likes a post. Liking it twice is liking it once.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn like_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which post.")] input: LikePostInput,
    ) -> Result<Option<LikePostPayload>> {
        let id = input::id("id", &input.id)?;
        let post = likes::like(ctx.app(), &ctx.signed_in()?, id).await?;
        Ok(Some(LikePostPayload { post }))
    }

    /// Takes a like back, where there is one.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn unlike_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which post.")] input: UnlikePostInput,
    ) -> Result<Option<UnlikePostPayload>> {
        let id = input::id("id", &input.id)?;
        let post = likes::unlike(ctx.app(), &ctx.signed_in()?, id).await?;
        Ok(Some(UnlikePostPayload { post }))
    }
}

/// What happens to posts.
#[derive(Default)]
pub struct PostSubscription;

#[Subscription]
impl PostSubscription {
    /// Posts as they are added to a board. Not replayed: refetch after a reconnect.
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn post_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The board to watch.")] board_id: ID,
    ) -> Result<impl Stream<Item = Result<Post>> + use<>> {
        let board = input::id("boardId", &board_id)?;
        ctx.follow(PostsOf(board)).await
    }
}
