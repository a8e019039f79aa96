//! The store of comments: owns `comments`, and decides who may read them. Lists are in `page`.

mod page;

use std::collections::HashMap;

use diesel::{dsl::auto_type, prelude::*, sql_types::Bool};

pub use page::CommentList;

use super::{Comment, Content};
use crate::{
    access::{Act, Actor, SignedIn},
    app::App,
    bus::Topic,
    db::{
        Conn,
        dialect::{self, Lockable},
        lists, on,
        tables::{boards, comments, posts},
    },
    error::{Error, Result},
    files::{
        FileChanges, Incoming, Parent,
        store::{self as files_store, NewFiles},
    },
    ids::{CommentId, PostId, UserId},
    loader::Batch,
    posts::store as posts_store,
};

/// Announces comments that are added to a post.
#[must_use]
pub fn added_to(post: PostId) -> Topic<CommentId> {
    Topic::of("comment-added-to", post)
}

/// The condition, for a query on `comments`, that the comment is not hidden from the actor.
#[auto_type]
fn is_shown(actor: &Actor) -> _ {
    let is_admin: bool = actor.is_admin();
    let user: UserId = actor.id_or_nil();
    let own = comments::author_id
        .is_not_null()
        .and(comments::author_id.assume_not_null().eq(user));
    is_admin.into_sql::<Bool>().or(comments::is_visible.or(own))
}

/// The condition, for a query on `comments`, that the actor may read the comment's post. A subquery for each comment,
/// not a join: see the lists of posts.
#[auto_type]
fn stands_on_readable_post(actor: &Actor) -> _ {
    let may_read: posts_store::may_read = posts_store::may_read(actor);
    posts::table
        .inner_join(boards::table)
        .filter(posts::id.eq(comments::post_id))
        .select(may_read)
        .single_value()
}

/// Comments by id, of those that the actor may read.
pub struct ReadableComment;

impl Batch for ReadableComment {
    type Key = CommentId;
    type Value = Comment;

    async fn load(
        app: &App,
        actor: Actor,
        ids: Vec<CommentId>,
    ) -> Result<HashMap<CommentId, Comment>> {
        app.db
            .read(move |conn| {
                let found = readable_in(conn, &actor, &ids)?;
                Ok(found
                    .into_iter()
                    .map(|comment| (comment.id, comment))
                    .collect())
            })
            .await
    }
}

/// Loads a comment that `actor` may read.
///
/// # Errors
/// `NOT_FOUND` when it does not exist or `actor` may not read it.
pub async fn readable(app: &App, actor: Actor, id: CommentId) -> Result<Comment> {
    app.db
        .read(move |conn| {
            readable_in(conn, &actor, &[id])?
                .pop()
                .ok_or(Error::NotFound)
        })
        .await
}

fn readable_in(conn: &mut Conn, actor: &Actor, ids: &[CommentId]) -> Result<Vec<Comment>> {
    Ok(on!(conn, |c| comments::table
        .filter(lists::among(comments::id, ids.iter().copied()))
        .filter(stands_on_readable_post(actor))
        .filter(is_shown(actor))
        .select(Comment::as_select())
        .load(c))?)
}

/// A comment to be.
#[derive(Debug)]
pub struct NewComment {
    pub post: PostId,
    pub content: Content,
    pub is_visible: bool,
    pub files: Vec<Incoming>,
}

/// Creates a comment on a post. The bytes of its files are safe before it appears.
///
/// # Errors
/// `NOT_FOUND` when `actor` may not read the post; what [`files_store::keep`] and [`files_store::attach`] fail with.
pub async fn insert(app: &App, actor: &SignedIn, new: NewComment) -> Result<Comment> {
    let comment = Comment {
        id: app.clock.id(),
        post_id: new.post,
        author_id: Some(actor.id),
        content: new.content,
        is_visible: new.is_visible,
        created_at: app.clock.now(),
        updated_at: None,
    };
    let (owner, actor) = (actor.id, Actor::SignedIn(*actor));
    let parent = Parent::Comment(comment.id);
    if !new.files.is_empty() {
        // Before anything is kept for a comment that cannot be.
        posts_store::readable(app, actor, new.post).await?;
    }
    let files = NewFiles {
        owner,
        parent,
        field: "files",
        files: new.files,
        instead_of: &[],
    };
    let files = files_store::keep(app, files).await?;
    let (kept, ports) = (files.clone(), app.clone());
    let written = app
        .db
        .write(move |conn| {
            posts_store::readable_in(conn, &actor, comment.post_id)?;
            posts_store::count_comments(conn, comment.post_id, i32::from(comment.is_visible))?;
            on!(conn, |c| diesel::insert_into(comments::table)
                .values(&comment)
                .execute(c))?;
            let waiting = files_store::attach(conn, &ports, owner, parent, &kept)?;
            Ok((comment.clone(), waiting))
        })
        .await;
    let (comment, waiting) = files_store::settle(app, &files, written).await?;
    app.queue.announce_any([waiting]);
    app.bus.publish(&added_to(comment.post_id), comment.id);
    Ok(comment)
}

/// A change of a comment. Absent fields stay unchanged.
#[derive(Debug, Default)]
pub struct CommentChanges {
    pub content: Option<Content>,
    pub is_visible: Option<bool>,
    pub files: FileChanges,
}

/// Changes a comment. A change without effect leaves its `updated_at` as it is.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither its author nor an admin; `INVALID` for files to remove that are not
/// its files; what [`files_store::keep`] and [`files_store::attach`] fail with.
pub async fn update(
    app: &App,
    actor: &SignedIn,
    id: CommentId,
    changes: CommentChanges,
) -> Result<Comment> {
    let (owner, actor, now) = (actor.id, Actor::SignedIn(*actor), app.clock.now());
    let parent = Parent::Comment(id);
    let FileChanges { add, remove } = changes.files;
    if !add.is_empty() {
        // Before anything is kept for a comment that cannot be changed.
        let comment = readable(app, actor, id).await?;
        if !actor.owns(comment.author_id) {
            return Err(Error::Forbidden);
        }
    }
    let files = NewFiles {
        owner,
        parent,
        field: "addFiles",
        files: add,
        instead_of: &remove,
    };
    let files = files_store::keep(app, files).await?;
    let (kept, ports) = (files.clone(), app.clone());
    let written = app
        .db
        .write(move |conn| {
            let mut comment = editable(conn, &actor, id)?;
            let files = files_store::change(conn, &ports, owner, parent, &kept, &remove)?;
            let is_visible = changes.is_visible.unwrap_or(comment.is_visible);
            let change = i32::from(is_visible) - i32::from(comment.is_visible);
            let new = changes.content.as_ref();
            let is_same = new.is_none_or(|content| *content == comment.content);
            if change == 0 && is_same && !files.is_any {
                return Ok((comment, files.waiting));
            }
            if change != 0 {
                posts_store::count_comments(conn, comment.post_id, change)?;
            }
            let row = (
                changes
                    .content
                    .as_ref()
                    .map(|content| comments::content.eq(content)),
                comments::is_visible.eq(is_visible),
                comments::updated_at.eq(now),
            );
            on!(conn, |c| diesel::update(comments::table.find(id))
                .set(row)
                .execute(c))?;
            comment.content = changes.content.clone().unwrap_or(comment.content);
            comment.is_visible = is_visible;
            comment.updated_at = Some(now);
            Ok((comment, files.waiting))
        })
        .await;
    let (comment, waiting) = files_store::settle(app, &files, written).await?;
    app.queue.announce_any(waiting);
    Ok(comment)
}

/// Deletes a comment.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither its author nor an admin.
pub async fn delete(app: &App, act: &Act<'_, SignedIn>, id: CommentId) -> Result<()> {
    let (actor, ports) = (Actor::SignedIn(act.actor), app.clone());
    let waiting = app
        .db
        .write(move |conn| {
            let comment = editable(conn, &actor, id)?;
            if comment.is_visible {
                posts_store::count_comments(conn, comment.post_id, -1)?;
            }
            on!(conn, |c| diesel::delete(comments::table.find(id))
                .execute(c))?;
            files_store::clear_away(conn, &ports)
        })
        .await?;
    app.queue.announce_any([waiting]);
    Ok(())
}

/// Loads a comment that `actor` may change, and locks its row and its post's row until the transaction ends.
fn editable(conn: &mut Conn, actor: &Actor, id: CommentId) -> Result<Comment> {
    let found = |conn: &mut Conn| {
        readable_in(conn, actor, &[id])?
            .pop()
            .ok_or(Error::NotFound)
    };
    // The post first, as everywhere: writers that lock in the same order cannot deadlock.
    let comment = found(conn)?;
    dialect::lock(conn, Lockable::Posts, comment.post_id)?;
    dialect::lock(conn, Lockable::Comments, id)?;
    let comment = found(conn)?;
    if actor.owns(comment.author_id) {
        Ok(comment)
    } else {
        Err(Error::Forbidden)
    }
}
