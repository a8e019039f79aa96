//! Who may read a file: whoever may read what it is attached to.

use std::collections::HashMap;

use super::{Attachment, store};
use crate::{
    access::Actor,
    app::App,
    comments::store::ReadableComment,
    error::{Error, Result},
    ids::FileId,
    loader::Batch,
    posts::store::ReadablePost,
};

/// Files by id, of those that the actor may read.
pub struct ReadableFile;

impl Batch for ReadableFile {
    type Key = FileId;
    type Value = Attachment;

    async fn load(
        app: &App,
        actor: Actor,
        ids: Vec<FileId>,
    ) -> Result<HashMap<FileId, Attachment>> {
        let found = app.db.read(move |conn| store::find(conn, &ids)).await?;
        let posts: Vec<_> = found.iter().filter_map(|file| file.post_id).collect();
        let comments: Vec<_> = found.iter().filter_map(|file| file.comment_id).collect();
        let posts = match posts.is_empty() {
            true => HashMap::new(),
            false => ReadablePost::load(app, actor, posts).await?,
        };
        let comments = match comments.is_empty() {
            true => HashMap::new(),
            false => ReadableComment::load(app, actor, comments).await?,
        };
        let is_readable = |file: &Attachment| {
            file.post_id.is_some_and(|id| posts.contains_key(&id))
                || file.comment_id.is_some_and(|id| comments.contains_key(&id))
        };
        let readable = found.into_iter().filter(is_readable);
        Ok(readable.map(|file| (file.id, file)).collect())
    }
}

/// Loads a file that `actor` may read.
///
/// # Errors
/// `NOT_FOUND` when it does not exist or `actor` may not read it.
pub async fn readable(app: &App, actor: Actor, id: FileId) -> Result<Attachment> {
    let mut found = ReadableFile::load(app, actor, vec![id]).await?;
    found.remove(&id).ok_or(Error::NotFound)
}

/// Loads a file whose address is signed: whoever has it may read the file, as long as that is attached to anything.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn attached(app: &App, id: FileId) -> Result<Attachment> {
    let found = app.db.read(move |conn| store::find(conn, &[id])).await?;
    let is_attached = |file: &Attachment| file.post_id.is_some() || file.comment_id.is_some();
    let found = found.into_iter().find(is_attached);
    found.ok_or(Error::NotFound)
}
