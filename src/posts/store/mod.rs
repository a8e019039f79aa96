//! The store of posts: owns `posts`, `post_search` and `likes`, and decides who may read them. Single posts and batches
//! are here; lists are in `page`, changes in `write`.

pub mod likes;
mod page;
mod search;
pub mod views;
mod write;

use std::collections::HashMap;

use diesel::{dsl::auto_type, prelude::*, sql_types::Bool};

pub use page::{PostList, PostOrder};
pub use write::{NewPost, PostChanges, delete, insert, update};

use super::Post;
use crate::{
    access::Actor,
    app::App,
    boards::store as boards_store,
    budget,
    bus::Topic,
    db::{
        Conn,
        dialect::{self, Lockable},
        lists, on,
        tables::{boards, posts},
    },
    error::{Error, Result},
    ids::{BoardId, PostId, UserId},
    loader::Batch,
};

/// Announces posts that are added to a board.
#[must_use]
pub fn added_to(board: BoardId) -> Topic<PostId> {
    Topic::of("post-added-to", board)
}

/// Announces that a post was changed or deleted.
#[must_use]
pub fn changed(post: PostId) -> Topic<PostId> {
    Topic::of("post-changed", post)
}

/// The condition, for a query on `posts` and `boards`, that the actor may read the post.
#[auto_type]
pub fn may_read(actor: &Actor) -> _ {
    let may_enter: boards_store::may_enter = boards_store::may_enter(actor);
    let is_shown: is_shown = is_shown(actor);
    may_enter.and(is_shown)
}

/// The condition, for a query on `posts`, that the post is not hidden from the actor.
#[auto_type]
fn is_shown(actor: &Actor) -> _ {
    let is_admin: bool = actor.is_admin();
    let user: UserId = actor.id_or_nil();
    let own = posts::author_id
        .is_not_null()
        .and(posts::author_id.assume_not_null().eq(user));
    is_admin.into_sql::<Bool>().or(posts::is_visible.or(own))
}

/// Posts by id, of those that the actor may read.
pub struct ReadablePost;

impl Batch for ReadablePost {
    type Key = PostId;
    type Value = Post;

    async fn load(app: &App, actor: Actor, ids: Vec<PostId>) -> Result<HashMap<PostId, Post>> {
        app.db
            .read(move |conn| {
                let found: Vec<Post> = on!(conn, |c| posts::table
                    .inner_join(boards::table)
                    .filter(lists::among(posts::id, ids.iter().copied()))
                    .filter(may_read(&actor))
                    .select(Post::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|post| (post.id, post)).collect())
            })
            .await
    }
}

/// Posts by id, for objects that the actor may already read: a reader of a comment may read its post.
pub struct PostOfReadable;

impl Batch for PostOfReadable {
    type Key = PostId;
    type Value = Post;

    async fn load(app: &App, _: Actor, ids: Vec<PostId>) -> Result<HashMap<PostId, Post>> {
        app.db
            .read(move |conn| {
                let found: Vec<Post> = on!(conn, |c| posts::table
                    .filter(lists::among(posts::id, ids.iter().copied()))
                    .select(Post::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|post| (post.id, post)).collect())
            })
            .await
    }
}

/// The contents of posts that the actor may already read.
pub struct ContentOfPost;

impl Batch for ContentOfPost {
    type Key = PostId;
    type Value = String;

    async fn load(app: &App, _: Actor, ids: Vec<PostId>) -> Result<HashMap<PostId, String>> {
        let limit = app.config.limits.answer;
        app.db
            .read(move |conn| {
                let (mut contents, mut bytes) = (HashMap::new(), 0);
                // In chunks, so that at most one chunk is read beyond the limit of a response.
                for ids in ids.chunks(100) {
                    let found: Vec<(PostId, String)> = on!(conn, |c| {
                        posts::table
                            .filter(lists::among(posts::id, ids.iter().copied()))
                            .select((posts::id, posts::content))
                            .load(c)
                    })?;
                    bytes += found
                        .iter()
                        .map(|(_, content)| content.len())
                        .sum::<usize>();
                    if bytes > limit {
                        return Err(budget::over(limit));
                    }
                    contents.extend(found);
                }
                Ok(contents)
            })
            .await
    }
}

/// The newest post that the actor may read on each board. The actor may enter the boards.
pub struct LastPostOfBoard;

impl Batch for LastPostOfBoard {
    type Key = BoardId;
    type Value = Post;

    async fn load(app: &App, actor: Actor, ids: Vec<BoardId>) -> Result<HashMap<BoardId, Post>> {
        app.db
            .read(move |conn| {
                // One index lookup for each board, all in one statement with the hidden ones that the actor may see.
                let newest: Vec<Option<PostId>> = on!(conn, |c| {
                    let newest = |is_visible: bool| {
                        let of_board = posts::table
                            .filter(posts::board_id.eq(boards::id))
                            .filter(posts::is_visible.eq(is_visible))
                            .order(posts::id.desc())
                            .select(posts::id)
                            .limit(1);
                        boards::table
                            .filter(lists::among(boards::id, ids.iter().copied()))
                            .select(of_board.single_value())
                    };
                    if actor.is_admin() {
                        newest(true).union_all(newest(false)).load(c)
                    } else {
                        let own = posts::table
                            .filter(posts::author_id.eq(actor.id_or_nil()))
                            .filter(posts::is_visible.eq(false))
                            .group_by(posts::board_id)
                            .select(lists::greatest(posts::id));
                        newest(true).union_all(own).load(c)
                    }
                })?;
                let newest = newest.into_iter().flatten();
                let mut found: Vec<Post> = on!(conn, |c| posts::table
                    .filter(lists::among(posts::id, newest))
                    .filter(lists::among(posts::board_id, ids.iter().copied()))
                    .select(Post::as_select())
                    .load(c))?;
                found.sort_unstable_by_key(|post| post.id);
                // Of two on one board, the later one stays.
                Ok(found
                    .into_iter()
                    .map(|post| (post.board_id, post))
                    .collect())
            })
            .await
    }
}

/// Loads a post that `actor` may read.
///
/// # Errors
/// `NOT_FOUND` when it does not exist or `actor` may not read it.
pub async fn readable(app: &App, actor: Actor, id: PostId) -> Result<Post> {
    app.db.read(move |conn| readable_in(conn, &actor, id)).await
}

/// [`readable`] within a transaction.
///
/// # Errors
/// As [`readable`].
pub fn readable_in(conn: &mut Conn, actor: &Actor, id: PostId) -> Result<Post> {
    Ok(on!(conn, |c| posts::table
        .inner_join(boards::table)
        .filter(posts::id.eq(id))
        .filter(may_read(actor))
        .select(Post::as_select())
        .first(c))?)
}

/// Adds `change` to the number of visible comments, and locks the post's row until the transaction ends.
///
/// # Errors
/// `NOT_FOUND` when there is no such post.
pub fn count_comments(conn: &mut Conn, post: PostId, change: i32) -> Result<()> {
    let counted = posts::comment_count.eq(posts::comment_count + change);
    let updated = on!(conn, |c| diesel::update(posts::table.find(post))
        .set(counted)
        .execute(c))?;
    if updated == 0 {
        Err(Error::NotFound)
    } else {
        Ok(())
    }
}

/// Loads a post that `actor` may change, and locks its row until the transaction ends.
fn editable(conn: &mut Conn, actor: &Actor, id: PostId) -> Result<Post> {
    // The board first, as everywhere: writers that lock in the same order cannot deadlock.
    let post = readable_in(conn, actor, id)?;
    dialect::lock(conn, Lockable::Boards, post.board_id)?;
    dialect::lock(conn, Lockable::Posts, id)?;
    let post = readable_in(conn, actor, id)?;
    if actor.owns(post.author_id) {
        Ok(post)
    } else {
        Err(Error::Forbidden)
    }
}
