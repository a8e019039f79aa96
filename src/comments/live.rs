//! The live fields of comments.

use uuid::Uuid;

use super::{Comment, store};
use crate::{
    access::Actor,
    app::App,
    boards::store as boards_store,
    bus::Topic,
    error::Result,
    ids::{CommentId, PostId},
    posts::store as posts_store,
    watch::Live,
};

/// Comments as they are added to a post.
pub struct CommentsOn(pub PostId);

impl Live for CommentsOn {
    type Item = Comment;
    type Id = CommentId;

    fn news(&self) -> Topic<CommentId> {
        store::added_to(self.0)
    }

    async fn check(&self, app: &App, actor: Actor) -> Result<Vec<Topic<Uuid>>> {
        let post = posts_store::readable(app, actor, self.0).await?;
        Ok(vec![
            posts_store::changed(post.id).untyped(),
            boards_store::changed(post.board_id).untyped(),
        ])
    }

    async fn read(&self, app: &App, actor: Actor, id: CommentId) -> Result<Comment> {
        store::readable(app, actor, id).await
    }
}
