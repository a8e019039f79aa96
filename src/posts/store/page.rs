//! Lists of posts.

use diesel::prelude::*;

use super::not_hidden_post;
use crate::{
    access::Actor,
    app::App,
    boards::store::{grantee, may_enter},
    connection::{Page, Slice, keyset},
    db::{
        on,
        tables::{board_grants, boards, posts},
    },
    error::Result,
    ids::{BoardId, PostId, UserId},
    posts::Post,
};

/// What narrows the list of posts down. Empty: all that the actor may read.
#[derive(Clone, Debug, Default)]
pub struct PostFilter {
    pub board: Option<BoardId>,
    pub author: Option<UserId>,
}

/// Posts that `actor` may read, newest first.
///
/// # Errors
/// Those of the database.
pub async fn page(
    app: &App,
    actor: Actor,
    filter: PostFilter,
    page: Page<PostId>,
) -> Result<Slice<Post>> {
    app.db
        .read(move |conn| {
            let found: Vec<Post> = on!(conn, |c| {
                let mut query = posts::table
                    .inner_join(boards::table)
                    .select(Post::as_select())
                    .into_boxed::<DB>();
                if !actor.is_admin() {
                    let user = grantee(&actor);
                    query = query
                        .filter(may_enter!(user))
                        .filter(not_hidden_post!(user));
                }
                if let Some(board) = filter.board {
                    query = query.filter(posts::board_id.eq(board));
                }
                if let Some(author) = filter.author {
                    query = query.filter(posts::author_id.eq(author));
                }
                keyset!(query, page, posts::id, Desc).load(c)
            })?;
            Ok(page.slice(found))
        })
        .await
}
