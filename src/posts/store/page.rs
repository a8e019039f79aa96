//! Lists of posts: their pages and how many there are, for all lists of one level of a document at once.

use std::collections::HashMap;

use diesel::prelude::*;

use super::not_hidden_post;
use crate::{
    access::Actor,
    app::App,
    boards::store::{grantee, may_enter},
    connection::{COUNTED, Page, Slice},
    db::{
        lists::{self, keyset, keyset_of_two},
        on,
        tables::{board_grants, boards, posts},
    },
    error::Result,
    loader::Batch,
    posts::{
        Post,
        list::{Place, PostList, PostOrderField},
    },
};

/// The query of the posts in a list that the actor may read, for the backend `$db`.
macro_rules! posts_of {
    ($db:ty, $actor:expr, $list:expr) => {{
        let mut query = posts::table.inner_join(boards::table).into_boxed::<$db>();
        if !$actor.is_admin() {
            let user = grantee(&$actor);
            query = query
                .filter(may_enter!(user))
                .filter(not_hidden_post!(user));
        }
        if let Some(board) = $list.board {
            query = query.filter(posts::board_id.eq(board));
        }
        if let Some(author) = $list.author {
            query = query.filter(posts::author_id.eq(author));
        }
        query
    }};
}

/// Pages of lists, of posts that the actor may read.
pub struct PageOfPosts;

impl Batch for PageOfPosts {
    type Key = (PostList, Page<Place>);
    type Value = Slice<Post>;

    async fn load(
        app: &App,
        actor: Actor,
        keys: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Slice<Post>>> {
        app.db
            .read(move |conn| {
                let found: Vec<Vec<Post>> = on!(conn, |c| {
                    let queries = keys.iter().map(|(list, page)| {
                        let query = posts_of!(DB, actor, list).select(Post::as_select());
                        let way = list.order.direction;
                        match list.order.field {
                            PostOrderField::CreatedAt => {
                                let (after, before) = (page.after, page.before);
                                let page = &Page {
                                    limit: page.limit,
                                    backwards: page.backwards,
                                    after: after.map(|(_, id)| id),
                                    before: before.map(|(_, id)| id),
                                };
                                keyset!(query, *page, way, posts::id)
                            }
                            PostOrderField::UpdatedAt => {
                                keyset_of_two!(query, *page, way, (posts::changed_at, posts::id))
                            }
                            PostOrderField::Views => {
                                keyset_of_two!(query, *page, way, (posts::view_count, posts::id))
                            }
                            PostOrderField::Likes => {
                                keyset_of_two!(query, *page, way, (posts::like_count, posts::id))
                            }
                            PostOrderField::Comments => {
                                keyset_of_two!(query, *page, way, (posts::comment_count, posts::id))
                            }
                        }
                    });
                    lists::load_each(c, queries.collect())
                })?;
                let slices = keys.into_iter().zip(found).map(|((list, page), found)| {
                    let slice = page.ordered_slice(found, list.order.direction, |p| list.place(p));
                    ((list, page), slice)
                });
                Ok(slices.collect())
            })
            .await
    }
}

/// How many posts lists have that the actor may read, up to one more than is told.
pub struct CountOfPosts;

impl Batch for CountOfPosts {
    type Key = PostList;
    type Value = i64;

    async fn load(app: &App, actor: Actor, keys: Vec<PostList>) -> Result<HashMap<PostList, i64>> {
        app.db
            .read(move |conn| {
                let counts = on!(conn, |c| {
                    let queries = keys.iter().map(|list| {
                        posts_of!(DB, actor, list)
                            .select(posts::id)
                            .limit(COUNTED + 1)
                    });
                    lists::count_each(c, queries.collect())
                })?;
                Ok(keys.into_iter().zip(counts).collect())
            })
            .await
    }
}
