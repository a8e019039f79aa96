//! The live fields of posts.

use uuid::Uuid;

use super::{Post, store};
use crate::{
    access::Actor,
    app::App,
    boards::store as boards_store,
    bus::Topic,
    error::Result,
    ids::{BoardId, PostId},
    watch::Live,
};

/// Posts as they are added to a board.
pub struct PostsOf(pub BoardId);

impl Live for PostsOf {
    type Item = Post;
    type Id = PostId;

    fn news(&self) -> Topic<PostId> {
        store::added_to(self.0)
    }

    async fn check(&self, app: &App, actor: Actor) -> Result<Vec<Topic<Uuid>>> {
        boards_store::readable(app, actor, self.0).await?;
        Ok(vec![boards_store::changed(self.0).untyped()])
    }

    async fn read(&self, app: &App, actor: Actor, id: PostId) -> Result<Post> {
        store::readable(app, actor, id).await
    }
}
