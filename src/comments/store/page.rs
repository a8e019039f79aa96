//! Lists of comments, for all lists of one level of a document at once.

use std::collections::HashMap;

use diesel::prelude::*;

use super::not_hidden_comment;
use crate::{
    access::Actor,
    app::App,
    boards::store::{grantee, may_enter},
    comments::Comment,
    connection::{COUNTED, Direction, Page, Slice},
    db::{
        lists::{self, keyset},
        on,
        tables::{board_grants, boards, comments, posts},
    },
    error::Result,
    ids::{CommentId, PostId, UserId},
    loader::Batch,
    posts::store::not_hidden_post,
};

/// The query of the comments on a post that the actor may read, for the backend `$db`. That the post may be read has been
/// seen to.
macro_rules! comments_on {
    ($db:ty, $actor:expr, $post:expr) => {{
        let mut query = comments::table
            .filter(comments::post_id.eq($post))
            .into_boxed::<$db>();
        if !$actor.is_admin() {
            query = query.filter(not_hidden_comment!(grantee(&$actor)));
        }
        query
    }};
}

/// The query of the comments by a user that the actor may read, for the backend `$db`.
macro_rules! comments_by {
    ($db:ty, $actor:expr, $author:expr) => {{
        let mut query = comments::table
            .inner_join(posts::table.inner_join(boards::table))
            .filter(comments::author_id.eq($author))
            .into_boxed::<$db>();
        if !$actor.is_admin() {
            let user = grantee(&$actor);
            query = query
                .filter(may_enter!(user))
                .filter(not_hidden_post!(user))
                .filter(not_hidden_comment!(user));
        }
        query
    }};
}

/// Pages of the comments on posts that the actor may read, oldest first.
pub struct PageOfPostComments;

impl Batch for PageOfPostComments {
    type Key = (PostId, Page<CommentId>);
    type Value = Slice<Comment>;

    async fn load(
        app: &App,
        actor: Actor,
        keys: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Slice<Comment>>> {
        app.db
            .read(move |conn| {
                let found: Vec<Vec<Comment>> = on!(conn, |c| {
                    let queries = keys.iter().map(|(post, page)| {
                        let query = comments_on!(DB, actor, *post).select(Comment::as_select());
                        keyset!(query, *page, Direction::Asc, comments::id)
                    });
                    lists::load_each(c, queries.collect())
                })?;
                let slices = keys.into_iter().zip(found).map(|((post, page), found)| {
                    let slice = page.ordered_slice(found, Direction::Asc, |comment| comment.id);
                    ((post, page), slice)
                });
                Ok(slices.collect())
            })
            .await
    }
}

/// How many comments there are on posts that the actor may read, up to one more than is told.
pub struct CountOfPostComments;

impl Batch for CountOfPostComments {
    type Key = PostId;
    type Value = i64;

    async fn load(app: &App, actor: Actor, keys: Vec<PostId>) -> Result<HashMap<PostId, i64>> {
        app.db
            .read(move |conn| {
                let counts = on!(conn, |c| {
                    let queries = keys.iter().map(|post| {
                        comments_on!(DB, actor, *post)
                            .select(comments::id)
                            .limit(COUNTED + 1)
                    });
                    lists::count_each(c, queries.collect())
                })?;
                Ok(keys.into_iter().zip(counts).collect())
            })
            .await
    }
}

/// Pages of the comments by users that the actor may read, newest first.
pub struct PageOfUserComments;

impl Batch for PageOfUserComments {
    type Key = (UserId, Page<CommentId>);
    type Value = Slice<Comment>;

    async fn load(
        app: &App,
        actor: Actor,
        keys: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Slice<Comment>>> {
        app.db
            .read(move |conn| {
                let found: Vec<Vec<Comment>> = on!(conn, |c| {
                    let queries = keys.iter().map(|(user, page)| {
                        let query = comments_by!(DB, actor, *user).select(Comment::as_select());
                        keyset!(query, *page, Direction::Desc, comments::id)
                    });
                    lists::load_each(c, queries.collect())
                })?;
                let slices = keys.into_iter().zip(found).map(|((user, page), found)| {
                    let slice = page.ordered_slice(found, Direction::Desc, |comment| comment.id);
                    ((user, page), slice)
                });
                Ok(slices.collect())
            })
            .await
    }
}

/// How many comments there are by users that the actor may read, up to one more than is told.
pub struct CountOfUserComments;

impl Batch for CountOfUserComments {
    type Key = UserId;
    type Value = i64;

    async fn load(app: &App, actor: Actor, keys: Vec<UserId>) -> Result<HashMap<UserId, i64>> {
        app.db
            .read(move |conn| {
                let counts = on!(conn, |c| {
                    let queries = keys.iter().map(|user| {
                        comments_by!(DB, actor, *user)
                            .select(comments::id)
                            .limit(COUNTED + 1)
                    });
                    lists::count_each(c, queries.collect())
                })?;
                Ok(keys.into_iter().zip(counts).collect())
            })
            .await
    }
}
