//! Writing, changing and deleting posts.

use diesel::prelude::*;

use super::{added_to, changed, editable, search};
use crate::{
    access::{Act, Actor, SignedIn},
    app::App,
    boards::store as boards_store,
    db::{Conn, on, tables::posts},
    error::{Error, Result},
    files::{
        FileChanges, Incoming, Parent,
        store::{self as files_store, NewFiles},
    },
    ids::{BoardId, PostId},
    posts::{Content, Post, Title},
    terms,
};

/// A post to be.
#[derive(Debug)]
pub struct NewPost {
    pub board: BoardId,
    pub title: Title,
    pub content: Content,
    pub is_visible: bool,
    pub files: Vec<Incoming>,
}

/// Creates a post on a board. The bytes of its files are safe before it appears.
///
/// # Errors
/// `NOT_FOUND` when `actor` may not enter the board; what [`files_store::keep`] and [`files_store::attach`] fail with.
pub async fn insert(app: &App, actor: &SignedIn, new: NewPost) -> Result<Post> {
    let (id, now) = (app.clock.id(), app.clock.now());
    let post = Post {
        is_visible: new.is_visible,
        ..Post::new(id, new.board, actor.id, new.title, now)
    };
    let (owner, actor, content) = (actor.id, Actor::SignedIn(*actor), new.content);
    let words = terms::words(post.title.as_str(), content.as_str());
    let parent = Parent::Post(post.id);
    if !new.files.is_empty() {
        // Before anything is kept for a post that cannot be.
        boards_store::readable(app, actor, new.board).await?;
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
            boards_store::readable_in(conn, &actor, post.board_id)?;
            boards_store::count_posts(conn, post.board_id, i32::from(post.is_visible))?;
            let row = (
                (
                    posts::id.eq(post.id),
                    posts::board_id.eq(post.board_id),
                    posts::author_id.eq(post.author_id),
                ),
                (
                    posts::title.eq(&post.title),
                    posts::content.eq(&content),
                    posts::is_visible.eq(post.is_visible),
                ),
                (
                    posts::created_at.eq(post.created_at),
                    posts::changed_at.eq(post.created_at),
                ),
            );
            on!(conn, |c| diesel::insert_into(posts::table)
                .values(row)
                .execute(c))?;
            search::write(conn, post.id, &words)?;
            let waiting = files_store::attach(conn, &ports, owner, parent, &kept)?;
            Ok((post.clone(), waiting))
        })
        .await;
    let (post, waiting) = files_store::settle(app, &files, written).await?;
    app.queue.announce_any([waiting]);
    app.bus.publish(&added_to(post.board_id), post.id);
    Ok(post)
}

/// A change of a post. Absent fields stay unchanged.
#[derive(Debug, Default)]
pub struct PostChanges {
    pub title: Option<Title>,
    pub content: Option<Content>,
    pub is_visible: Option<bool>,
    pub files: FileChanges,
}

/// Changes a post. A change without effect leaves its `updated_at` as it is.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither its author nor an admin; `INVALID` for files to remove that are not
/// its files; what [`files_store::keep`] and [`files_store::attach`] fail with.
pub async fn update(app: &App, actor: &SignedIn, id: PostId, changes: PostChanges) -> Result<Post> {
    let (owner, actor, now) = (actor.id, Actor::SignedIn(*actor), app.clock.now());
    let parent = Parent::Post(id);
    let FileChanges { add, remove } = changes.files;
    if !add.is_empty() {
        // Before anything is kept for a post that cannot be changed.
        let post = super::readable(app, actor, id).await?;
        if !actor.owns(post.author_id) {
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
            let mut post = editable(conn, &actor, id)?;
            let files = files_store::change(conn, &ports, owner, parent, &kept, &remove)?;
            let is_visible = changes.is_visible.unwrap_or(post.is_visible);
            let content = |conn: &mut Conn| -> Result<Content> {
                Ok(on!(conn, |c| posts::table
                    .find(id)
                    .select(posts::content)
                    .get_result(c))?)
            };
            let is_new_title = changes.title.as_ref().is_some_and(|t| *t != post.title);
            let is_new_content = match &changes.content {
                Some(new) => *new != content(conn)?,
                None => false,
            };
            let change = i32::from(is_visible) - i32::from(post.is_visible);
            if change == 0 && !is_new_title && !is_new_content && !files.is_any {
                return Ok((post, files.waiting));
            }
            if change != 0 {
                boards_store::count_posts(conn, post.board_id, change)?;
            }
            let row = (
                changes.title.as_ref().map(|title| posts::title.eq(title)),
                changes
                    .content
                    .as_ref()
                    .map(|content| posts::content.eq(content)),
                posts::is_visible.eq(is_visible),
                posts::updated_at.eq(now),
                posts::changed_at.eq(now),
            );
            on!(conn, |c| diesel::update(posts::table.find(id))
                .set(row)
                .execute(c))?;
            post.title = changes.title.clone().unwrap_or(post.title);
            if is_new_title || is_new_content {
                let content = content(conn)?;
                search::write(
                    conn,
                    id,
                    &terms::words(post.title.as_str(), content.as_str()),
                )?;
            }
            post.is_visible = is_visible;
            post.updated_at = Some(now);
            Ok((post, files.waiting))
        })
        .await;
    let (post, waiting) = files_store::settle(app, &files, written).await?;
    app.queue.announce_any(waiting);
    app.bus.publish(&changed(id), id);
    Ok(post)
}

/// Deletes a post with its comments.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither its author nor an admin.
pub async fn delete(app: &App, act: &Act<'_, SignedIn>, id: PostId) -> Result<()> {
    let (actor, ports) = (Actor::SignedIn(act.actor), app.clone());
    let waiting = app
        .db
        .write(move |conn| {
            let post = editable(conn, &actor, id)?;
            if post.is_visible {
                boards_store::count_posts(conn, post.board_id, -1)?;
            }
            on!(conn, |c| diesel::delete(posts::table.find(id)).execute(c))?;
            files_store::clear_away(conn, &ports)
        })
        .await?;
    app.queue.announce_any([waiting]);
    app.bus.publish(&changed(id), id);
    Ok(())
}
