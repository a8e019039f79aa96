//! Comments in the schema.

use async_graphql::{
    Context, ID, InputObject, MaybeUndefined, Object, SimpleObject, Subscription, Upload,
};
use futures_util::Stream;

use super::{
    Comment, Content,
    live::CommentsOn,
    store::{self, CommentChanges, NewComment, ReadableComment},
};
use crate::{
    access::{Access, auth},
    accounts::{User, store::users::UserById},
    clock::Timestamp,
    context::{ContextExt, owned_by},
    direct::Direct,
    error::{Error, Result},
    files::{self, Attachment, FileChanges, store::FilesOfComment},
    input::{self, Violations},
    list::list_size,
    posts::{Post, store::PostOfReadable},
};

/// A comment on a post.
#[Object]
impl Comment {
    /// The comment's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// The post that it belongs to.
    async fn post(&self, ctx: &Context<'_>) -> Result<Direct<Post>> {
        let post = ctx.load::<PostOfReadable>(self.post_id).await?;
        post.map(Direct).ok_or(Error::NotFound)
    }

    /// Who wrote it; null once the account is deleted.
    async fn author(&self, ctx: &Context<'_>) -> Result<Option<Direct<User>>> {
        match self.author_id {
            Some(id) => Ok(ctx.load::<UserById>(id).await?.map(Direct)),
            None => Ok(None),
        }
    }

    /// 1 to 4 000 characters.
    async fn content(&self) -> &str {
        self.content.as_str()
    }

    /// When it was written.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it was last edited; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// Whether every reader of the post may read it. If not, only its author and admins can see it.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin), guard = "owned_by(self.author_id)")]
    async fn is_visible(&self) -> Option<bool> {
        Some(self.is_visible)
    }

    /// Whether the viewer may change and delete it.
    async fn viewer_can_edit(&self, ctx: &Context<'_>) -> bool {
        ctx.actor().owns(self.author_id)
    }

    /// Its files, in the order of their upload. At most 5.
    #[graphql(directive = list_size::apply(5))]
    async fn attachments(&self, ctx: &Context<'_>) -> Result<Vec<Direct<Attachment>>> {
        let files = ctx.load::<FilesOfComment>(self.id).await?;
        Ok(files.unwrap_or_default().into_iter().map(Direct).collect())
    }
}

/// Queries about comments.
#[derive(Default)]
pub struct CommentQuery;

#[Object]
impl CommentQuery {
    /// The comment with this id.
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn comment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The comment's id.")] id: ID,
    ) -> Result<Option<Comment>> {
        let comment = ctx.load::<ReadableComment>(input::id("id", &id)?).await?;
        comment.map(Some).ok_or(Error::NotFound)
    }
}

/// The input of `createComment`.
#[derive(InputObject)]
struct CreateCommentInput {
    /// The post to comment on.
    post_id: ID,
    /// 1 to 4 000 characters.
    content: String,
    /// Whether every reader of the post may read it.
    #[graphql(default = true)]
    is_visible: bool,
    /// Files to attach, at most 5, by a multipart request.
    files: Option<Vec<Upload>>,
}

/// The result of `createComment`.
#[derive(SimpleObject)]
struct CreateCommentPayload {
    /// The new comment.
    comment: Comment,
}

/// The input of `updateComment`. Fields that are left out stay as they are.
#[derive(InputObject)]
struct UpdateCommentInput {
    /// The comment to change.
    id: ID,
    /// 1 to 4 000 characters.
    content: MaybeUndefined<String>,
    /// Whether every reader of the post may read it.
    is_visible: MaybeUndefined<bool>,
    /// Files to attach, by a multipart request. It has at most 5 in the end.
    add_files: Option<Vec<Upload>>,
    /// The ids of files to delete.
    remove_attachment_ids: Option<Vec<ID>>,
}

/// The result of `updateComment`.
#[derive(SimpleObject)]
struct UpdateCommentPayload {
    /// The changed comment.
    comment: Comment,
}

/// The input of `deleteComment`.
#[derive(InputObject)]
struct DeleteCommentInput {
    /// The comment to delete.
    id: ID,
}

/// The result of `deleteComment`.
#[derive(SimpleObject)]
struct DeleteCommentPayload {
    /// The id of the deleted comment.
    deleted_comment_id: ID,
}

/// Changes of comments.
#[derive(Default)]
pub struct CommentMutation;

#[Object]
impl CommentMutation {
    /// Creates a comment on a post that you may read.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn create_comment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The comment to create.")] input: CreateCommentInput,
    ) -> Result<Option<CreateCommentPayload>> {
        let (post, content) = Violations::check(|v| {
            (
                v.id("postId", &input.post_id),
                v.field("content", Content::parse(&input.content)),
            )
        })?;
        let new = NewComment {
            post,
            content,
            is_visible: input.is_visible,
            files: files::incoming(ctx, input.files)?,
        };
        let comment = store::insert(ctx.app(), &ctx.signed_in()?, new).await?;
        Ok(Some(CreateCommentPayload { comment }))
    }

    /// Changes a comment, hides or shows it.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn update_comment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The comment and the changes.")] input: UpdateCommentInput,
    ) -> Result<Option<UpdateCommentPayload>> {
        let add = files::incoming(ctx, input.add_files)?;
        let most = ctx.app().config.limits.ids;
        let (id, changes) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let remove = v.ids("removeAttachmentIds", input.remove_attachment_ids, most);
            let changes = CommentChanges {
                content: v.new_text("content", input.content, Content::parse),
                is_visible: v.change("isVisible", input.is_visible),
                files: FileChanges { add, remove },
            };
            (id, Some(changes))
        })?;
        let comment = store::update(ctx.app(), &ctx.signed_in()?, id, changes).await?;
        Ok(Some(UpdateCommentPayload { comment }))
    }

    /// Deletes a comment.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn delete_comment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The comment to delete.")] input: DeleteCommentInput,
    ) -> Result<Option<DeleteCommentPayload>> {
        let id = input::id("id", &input.id)?;
        store::delete(ctx.app(), &ctx.act(ctx.signed_in()?), id).await?;
        Ok(Some(DeleteCommentPayload {
            deleted_comment_id: id.into(),
        }))
    }
}

/// What happens to comments.
#[derive(Default)]
pub struct CommentSubscription;

#[Subscription]
impl CommentSubscription {
    /// Comments as they are added to a post. Not replayed: refetch after a reconnect.
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn comment_added(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The post to watch.")] post_id: ID,
    ) -> Result<impl Stream<Item = Result<Comment>> + use<>> {
        let post = input::id("postId", &post_id)?;
        ctx.follow(CommentsOn(post)).await
    }
}
