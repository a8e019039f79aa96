//! Lists of comments.

use diesel::prelude::*;

use super::{is_shown, stands_on_readable_post};
use crate::{
    access::Actor,
    comments::Comment,
    connection::{COUNTED, Cursors, Direction},
    db::{
        Conn,
        lists::{self, keyset},
        on,
        tables::comments,
    },
    error::Result,
    ids::{CommentId, PostId, UserId},
    list::{Asked, List},
};

/// A list of comments that the actor may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommentList {
    /// On a post, oldest first. The caller has checked that the actor may read the post.
    OfPost(PostId),
    /// By a user, newest first.
    ByUser(UserId),
}

/// The query of the comments in a list, for the backend `$db`.
macro_rules! comments_of {
    ($db:ty, $actor:expr, $list:expr) => {{
        let mut query = comments::table.into_boxed::<$db>();
        if !$actor.is_admin() {
            query = query.filter(is_shown($actor));
        }
        match $list {
            CommentList::OfPost(post) => query.filter(comments::post_id.eq(*post)),
            CommentList::ByUser(author) => {
                query = query.filter(comments::author_id.eq(*author));
                if !$actor.is_admin() {
                    query = query.filter(stands_on_readable_post($actor));
                }
                query
            }
        }
    }};
}

impl List for CommentList {
    type Item = Comment;
    type Key = CommentId;
    const TEXT: Option<fn(&Comment) -> usize> = Some(|comment| comment.content.as_str().len());

    fn cursors(&self) -> Cursors {
        match self {
            Self::OfPost(_) => Cursors::Comments,
            Self::ByUser(_) => Cursors::CommentsOfUser,
        }
    }

    fn direction(&self) -> Direction {
        match self {
            Self::OfPost(_) => Direction::Asc,
            Self::ByUser(_) => Direction::Desc,
        }
    }

    fn key(&self, comment: &Comment) -> CommentId {
        comment.id
    }

    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Comment>>> {
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = comments_of!(DB, actor, list).select(Comment::as_select());
                keyset!(query, *page, list.direction(), comments::id)
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|list| {
                comments_of!(DB, actor, list)
                    .select(comments::id)
                    .limit(COUNTED + 1)
            });
            lists::count_each(c, queries.collect())
        })?)
    }
}
