//! Posts in the schema.

use async_graphql::{
    Context, ID, InputObject, MaybeUndefined, Object, SimpleObject, Subscription, Upload,
};
use futures_util::Stream;

use super::{
    Content, Post, Title,
    live::PostsOf,
    store::{
        self, ContentOfPost, NewPost, PostChanges, PostList, PostOrder, ReadablePost,
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
    connection::{Connection, PageArgs, SEARCHING, cost},
    context::{ContextExt, Listed, owned_by},
    direct::Direct,
    error::{Error, Result},
    files::{self, Attachment, FileChanges, store::FilesOfPost},
    ids::{BoardId, UserId},
    input::{self, Violations},
    list::list_size,
    terms::Search,
};

/// A post on a board.
#[Object]
impl Post {
    /// The post's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// The board that it is on.
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

    /// When it was last edited; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// How many times it was opened. A reader counts once an hour. A few seconds behind.
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

    /// Whether every reader of the board may read it. If not, only its author and admins can see it.
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

    /// Its files, in the order of their upload. At most 10.
    #[graphql(directive = list_size::apply(10))]
    async fn attachments(&self, ctx: &Context<'_>) -> Result<Vec<Direct<Attachment>>> {
        let files = ctx.load::<FilesOfPost>(self.id).await?;
        Ok(files.unwrap_or_default().into_iter().map(Direct).collect())
    }

    /// Comments that the viewer may read, oldest first.
    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
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
    /// The post with this id. Selecting its content counts as a view, once an hour for each reader.
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post's id.")] id: ID,
    ) -> Result<Option<Direct<Post>>> {
        let post = ctx.load::<ReadablePost>(input::id("id", &id)?).await?;
        let post = post.ok_or(Error::NotFound)?;
        // A request that reads the content counts as a view.
        if ctx.look_ahead().field("content").exists() {
            // Boxed: every request copies a future as large as that of the largest root field.
            Box::pin(views::count(ctx.app(), ctx.caller(), post.id)).await;
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
        #[graphql(desc = "Returns posts on this board.")] board_id: Option<ID>,
        #[graphql(desc = "Returns posts by this user.")] author_id: Option<ID>,
        #[graphql(
            desc = "Returns posts that contain all of these words. In Korean, Chinese and Japanese, parts of words match too. At most 128 characters; blank returns all posts. Without orderBy, the 500 best matches come, those in the title first.",
            directive = cost::apply(SEARCHING.to_owned())
        )]
        search: Option<String>,
        #[graphql(desc = "The order; newest first by default.")] order_by: Option<PostOrder>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
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

/// The input of `createPost`.
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
    /// Files to attach, at most 10, by a multipart request.
    files: Option<Vec<Upload>>,
}

/// The result of `createPost`.
#[derive(SimpleObject)]
struct CreatePostPayload {
    /// The new post.
    post: Post,
}

/// The input of `updatePost`. Fields that are left out stay as they are.
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
    /// Files to attach, by a multipart request. It has at most 10 in the end.
    add_files: Option<Vec<Upload>>,
    /// The ids of files to delete.
    remove_attachment_ids: Option<Vec<ID>>,
}

/// The result of `updatePost`.
#[derive(SimpleObject)]
struct UpdatePostPayload {
    /// The changed post.
    post: Post,
}

/// The input of `deletePost`.
#[derive(InputObject)]
struct DeletePostInput {
    /// The post to delete.
    id: ID,
}

/// The result of `deletePost`.
#[derive(SimpleObject)]
struct DeletePostPayload {
    /// The id of the deleted post.
    deleted_post_id: ID,
}

/// The input of `likePost`.
#[derive(InputObject)]
struct LikePostInput {
    /// The post to like.
    id: ID,
}

/// The result of `likePost`.
#[derive(SimpleObject)]
struct LikePostPayload {
    /// The post with its current number of likes.
    post: Post,
}

/// The input of `unlikePost`.
#[derive(InputObject)]
struct UnlikePostInput {
    /// The post to unlike.
    id: ID,
}

/// The result of `unlikePost`.
#[derive(SimpleObject)]
struct UnlikePostPayload {
    /// The post with its current number of likes.
    post: Post,
}

/// Changes of posts.
#[derive(Default)]
pub struct PostMutation;

#[Object]
impl PostMutation {
    /// Creates a post on a board that you may enter.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn create_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post to create.")] input: CreatePostInput,
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
            files: files::incoming(ctx, input.files)?,
        };
        let post = store::insert(ctx.app(), &ctx.signed_in()?, new).await?;
        Ok(Some(CreatePostPayload { post }))
    }

    /// Changes a post, hides or shows it.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn update_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post and the changes.")] input: UpdatePostInput,
    ) -> Result<Option<UpdatePostPayload>> {
        let add = files::incoming(ctx, input.add_files)?;
        let most = ctx.app().config.limits.ids;
        let (id, changes) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let remove = v.ids("removeAttachmentIds", input.remove_attachment_ids, most);
            let changes = PostChanges {
                title: v.new_text("title", input.title, Title::parse),
                content: v.new_text("content", input.content, Content::parse),
                is_visible: v.change("isVisible", input.is_visible),
                files: FileChanges { add, remove },
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
        #[graphql(desc = "The post.")] input: DeletePostInput,
    ) -> Result<Option<DeletePostPayload>> {
        let id = input::id("id", &input.id)?;
        store::delete(ctx.app(), &ctx.act(ctx.signed_in()?), id).await?;
        Ok(Some(DeletePostPayload {
            deleted_post_id: id.into(),
        }))
    }

    /// Likes a post. Liking it again changes nothing.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn like_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post.")] input: LikePostInput,
    ) -> Result<Option<LikePostPayload>> {
        let id = input::id("id", &input.id)?;
        let post = likes::like(ctx.app(), &ctx.signed_in()?, id).await?;
        Ok(Some(LikePostPayload { post }))
    }

    /// Removes your like from a post, if there is one.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn unlike_post(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post.")] input: UnlikePostInput,
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
