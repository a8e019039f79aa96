//! The store of files: owns `files` and `file_usage`. Who may read them is decided by what they are attached to: see
//! `readable`.

mod keep;
mod usage;

use std::collections::HashMap;

use diesel::prelude::*;

pub use keep::{KeptFile, NewFiles, keep, settle};

use super::{Attachment, DeleteFiles, MakeThumbnails, MediaType, Parent};
use crate::{
    access::Actor,
    app::App,
    clock::Timestamp,
    db::{Conn, lists, on, tables::files},
    error::{Error, Result, Rule, Violation},
    ids::{CommentId, FileId, PostId, UserId},
    loader::Batch,
    queue::Waiting,
};

/// The files of posts that the actor may read, in the order of their upload.
pub struct FilesOfPost;

impl Batch for FilesOfPost {
    type Key = PostId;
    type Value = Vec<Attachment>;

    async fn load(
        app: &App,
        _: Actor,
        ids: Vec<PostId>,
    ) -> Result<HashMap<PostId, Vec<Attachment>>> {
        app.db
            .read(move |conn| {
                let found: Vec<Attachment> = on!(conn, |c| files::table
                    .filter(lists::among(
                        files::post_id.assume_not_null(),
                        ids.iter().copied()
                    ))
                    .order(files::id.asc())
                    .select(Attachment::as_select())
                    .load(c))?;
                Ok(by(found, |file| file.post_id))
            })
            .await
    }
}

/// The files of comments that the actor may read, in the order of their upload.
pub struct FilesOfComment;

impl Batch for FilesOfComment {
    type Key = CommentId;
    type Value = Vec<Attachment>;

    async fn load(
        app: &App,
        _: Actor,
        ids: Vec<CommentId>,
    ) -> Result<HashMap<CommentId, Vec<Attachment>>> {
        app.db
            .read(move |conn| {
                let found: Vec<Attachment> = on!(conn, |c| files::table
                    .filter(lists::among(
                        files::comment_id.assume_not_null(),
                        ids.iter().copied()
                    ))
                    .order(files::id.asc())
                    .select(Attachment::as_select())
                    .load(c))?;
                Ok(by(found, |file| file.comment_id))
            })
            .await
    }
}

fn by<K: Eq + std::hash::Hash>(
    found: Vec<Attachment>,
    key: impl Fn(&Attachment) -> Option<K>,
) -> HashMap<K, Vec<Attachment>> {
    let mut all = HashMap::<K, Vec<_>>::new();
    for file in found {
        if let Some(key) = key(&file) {
            all.entry(key).or_default().push(file);
        }
    }
    all
}

/// The bytes of those of these files that are `owner`'s.
fn size_of(conn: &mut Conn, owner: UserId, ids: &[FileId]) -> Result<u64> {
    let sizes: Vec<i64> = on!(conn, |c| files::table
        .filter(files::id.eq_any(ids))
        .filter(files::owner_id.eq(owner))
        .select(files::size)
        .load(c))?;
    let sizes = sizes
        .into_iter()
        .filter_map(|size| u64::try_from(size).ok());
    Ok(sizes.sum())
}

/// Files by id, whoever may read them.
pub(super) fn find(conn: &mut Conn, ids: &[FileId]) -> Result<Vec<Attachment>> {
    Ok(on!(conn, |c| files::table
        .filter(lists::among(files::id, ids.iter().copied()))
        .select(Attachment::as_select())
        .load(c))?)
}

/// Attaches files whose bytes are safe to a post or a comment, whose row is locked, and counts them for `owner`.
///
/// # Errors
/// `LIMIT_EXCEEDED` for more than it may have, and for more than `owner` may.
pub fn attach(
    conn: &mut Conn,
    app: &App,
    owner: UserId,
    parent: Parent,
    new: &[KeptFile],
) -> Result<Option<Waiting>> {
    if new.is_empty() {
        return Ok(None);
    }
    let most = parent.most();
    if of(conn, parent)?.len() + new.len() > most {
        return Err(over(most));
    }
    let bytes = new.iter().map(|file| file.size).sum();
    usage::take(conn, owner, bytes, app.config.max_storage_per_user)?;
    let (post, comment) = match parent {
        Parent::Post(id) => (Some(id), None),
        Parent::Comment(id) => (None, Some(id)),
    };
    let mut waiting = None;
    for file in new {
        let row = (
            (
                files::id.eq(file.id),
                files::owner_id.eq(owner),
                files::post_id.eq(post),
                files::comment_id.eq(comment),
                files::name.eq(&file.name),
                files::content_type.eq(&file.content_type),
            ),
            (
                files::size.eq(file.size),
                files::width.eq(file.width),
                files::height.eq(file.height),
                files::created_at.eq(file.created_at),
            ),
        );
        on!(conn, |c| diesel::insert_into(files::table)
            .values(row)
            .execute(c))?;
        if file.has_thumbnails() {
            let job = MakeThumbnails { file: file.id };
            waiting = Some(app.queue.enqueue(conn, &job)?);
        }
    }
    Ok(waiting)
}

/// The ids of the files of `parent`.
fn of(conn: &mut Conn, parent: Parent) -> Result<Vec<FileId>> {
    Ok(match parent {
        Parent::Post(id) => on!(conn, |c| files::table
            .filter(files::post_id.eq(id))
            .select(files::id)
            .load(c))?,
        Parent::Comment(id) => on!(conn, |c| files::table
            .filter(files::comment_id.eq(id))
            .select(files::id)
            .load(c))?,
    })
}

/// That a post or a comment would have more than `most` files.
pub(super) fn over(most: usize) -> Error {
    Error::LimitExceeded {
        what: "files",
        limit: most as u64,
    }
}

/// Takes files off a post or a comment, whose row is locked. Nobody can read them from now on; their bytes are deleted by
/// a job. Returns whether there were any.
///
/// # Errors
/// `INVALID` at `field` for ids that are not its files.
fn detach(conn: &mut Conn, parent: Parent, ids: &[FileId], field: &str) -> Result<bool> {
    if ids.is_empty() {
        return Ok(false);
    }
    let own = of(conn, parent)?;
    let foreign = ids.iter().enumerate().filter(|(_, id)| !own.contains(id));
    let foreign: Vec<Violation> = foreign
        .map(|(n, _)| Rule::Unknown.at(format!("{field}.{n}")))
        .collect();
    if !foreign.is_empty() {
        return Err(Error::Invalid(foreign));
    }
    let owned: Vec<(Option<UserId>, i64)> = on!(conn, |c| files::table
        .filter(files::id.eq_any(ids))
        .select((files::owner_id, files::size))
        .load(c))?;
    for (owner, size) in owned {
        usage::give_back(conn, owner, size)?;
    }
    // Without an owner, so that nothing is given back twice.
    let free = (
        files::owner_id.eq(None::<UserId>),
        files::post_id.eq(None::<PostId>),
        files::comment_id.eq(None::<CommentId>),
    );
    on!(conn, |c| diesel::update(
        files::table.filter(files::id.eq_any(ids))
    )
    .set(free)
    .execute(c))?;
    Ok(true)
}

/// What a change of the files of a post or a comment has come to.
pub struct Changed {
    pub is_any: bool,
    /// Announce it after the commit.
    pub waiting: [Option<Waiting>; 2],
}

/// Takes files off a post or a comment, whose row is locked, and attaches new ones whose bytes are safe.
///
/// # Errors
/// `INVALID` at `removeAttachmentIds` for ids that are not its files, and those of [`attach`].
pub fn change(
    conn: &mut Conn,
    app: &App,
    owner: UserId,
    parent: Parent,
    new: &[KeptFile],
    remove: &[FileId],
) -> Result<Changed> {
    let is_fewer = detach(conn, parent, remove, "removeAttachmentIds")?;
    let thumbnails = attach(conn, app, owner, parent, new)?;
    let unattached = match is_fewer {
        true => clear_away(conn, app)?,
        false => None,
    };
    Ok(Changed {
        is_any: is_fewer || !new.is_empty(),
        waiting: [thumbnails, unattached],
    })
}

/// Has a job delete the bytes of files that are attached to nothing any more, if there are any. Call it in the transaction
/// that takes them off, or deletes what they were attached to.
///
/// # Errors
/// Those of the database.
pub fn clear_away(conn: &mut Conn, app: &App) -> Result<Option<Waiting>> {
    if unattached(conn, 1)?.is_empty() {
        return Ok(None);
    }
    app.queue.enqueue(conn, &DeleteFiles {}).map(Some)
}

/// Files that are attached to nothing, and whether they have thumbnails.
pub(super) fn unattached(conn: &mut Conn, limit: i64) -> Result<Vec<(FileId, bool)>> {
    Ok(on!(conn, |c| files::table
        .filter(files::post_id.is_null().and(files::comment_id.is_null()))
        .select((files::id, files::thumbnail_type.is_not_null()))
        .limit(limit)
        .load(c))?)
}

/// Deletes the rows of files that are attached to nothing, and whose bytes are deleted.
pub(super) fn delete(conn: &mut Conn, ids: &[FileId]) -> Result<()> {
    for id in ids {
        let row: Option<(Option<UserId>, i64)> = on!(conn, |c| files::table
            .find(id)
            .select((files::owner_id, files::size))
            .first(c)
            .optional())?;
        let deleted = on!(conn, |c| diesel::delete(files::table.find(id)).execute(c))?;
        // Another worker may have been faster.
        if let (1, Some((owner, size))) = (deleted, row) {
            usage::give_back(conn, owner, size)?;
        }
    }
    Ok(())
}

/// Which of these files have rows.
pub(super) fn known(conn: &mut Conn, ids: &[FileId]) -> Result<Vec<FileId>> {
    Ok(on!(conn, |c| files::table
        .filter(lists::among(files::id, ids.iter().copied()))
        .select(files::id)
        .load(c))?)
}

/// Notes that the thumbnails of a file are there.
pub(super) fn note_thumbnails(conn: &mut Conn, id: FileId, media: &MediaType) -> Result<()> {
    on!(conn, |c| diesel::update(files::table.find(id))
        .set(files::thumbnail_type.eq(Some(media)))
        .execute(c))?;
    Ok(())
}

/// A new file of a request.
pub(super) fn stamp(app: &App) -> (FileId, Timestamp) {
    (app.clock.id(), app.clock.now())
}
