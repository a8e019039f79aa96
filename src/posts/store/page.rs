//! Lists of posts: their pages and how many there are, for all lists of one level of a document at once.

use std::collections::{HashMap, HashSet};

use diesel::{prelude::*, sql_types::Bool};

use super::not_hidden_post;
use crate::{
    access::Actor,
    app::App,
    boards::store::{grantee, may_enter},
    connection::{COUNTED, Direction, Page, Slice},
    db::{
        Conn,
        lists::{self, keyset, keyset_of_two},
        on, search,
        tables::{board_grants, boards, posts},
    },
    error::Result,
    ids::PostId,
    loader::Batch,
    posts::{
        Post,
        list::{BEST, Ordered, Place, PostList, PostOrderField},
    },
    terms::Search,
};

/// The query of the posts in a list that the actor may read, for the backend `$db`. `$words` are those of its search.
macro_rules! posts_of {
    ($db:ty, $actor:expr, $list:expr, $words:expr) => {{
        let mut query = posts::table.into_boxed::<$db>();
        query = match $list.search.as_ref().map($words).as_deref() {
            None => query,
            Some([]) => query.filter(false.into_sql::<Bool>()),
            Some(words) => query.filter(search::found_by(words)),
        };
        if !$actor.is_admin() {
            let user = grantee(&$actor);
            // Asked of each post, not joined: MariaDB would begin with the boards and sort all of their posts.
            let of_post = boards::table.filter(boards::id.eq(posts::board_id));
            query = query
                .filter(of_post.select(may_enter!(user)).single_value())
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
    type Key = Key;
    type Value = Slice<Post>;

    async fn load(app: &App, actor: Actor, keys: Vec<Key>) -> Result<HashMap<Key, Slice<Post>>> {
        app.db
            .read(move |conn| {
                let (ranked, ordered) = keys
                    .into_iter()
                    .partition(|(list, _)| matches!(list.ordered(), Ordered::ByRank(_)));
                let mut slices = HashMap::new();
                slices.extend(in_order(conn, actor, ordered)?);
                slices.extend(by_rank(conn, actor, ranked)?);
                Ok(slices)
            })
            .await
    }
}

type Key = (PostList, Page<Place>);
type Slices = Vec<(Key, Slice<Post>)>;

fn in_order(conn: &mut Conn, actor: Actor, keys: Vec<Key>) -> Result<Slices> {
    let orders = keys.into_iter().filter_map(|key| match key.0.ordered() {
        Ordered::By(order) => Some((order, key)),
        Ordered::ByRank(_) => None,
    });
    let keys: Vec<_> = orders.collect();
    let found: Vec<Vec<Post>> = on!(conn, |c| {
        let queries = keys.iter().map(|(order, (list, page))| {
            let query = posts_of!(DB, actor, list, Search::anywhere).select(Post::as_select());
            let way = order.direction;
            match order.field {
                PostOrderField::CreatedAt => {
                    keyset!(query, page.by(|(_, id)| *id), way, posts::id)
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
    let slices = keys.into_iter().zip(found).map(|((order, key), found)| {
        let (list, page) = &key;
        let slice = page.ordered_slice(found, order.direction, |post| list.place(post));
        (key, slice)
    });
    Ok(slices.collect())
}

fn by_rank(conn: &mut Conn, actor: Actor, keys: Vec<Key>) -> Result<Slices> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let in_title = newest(conn, actor, &keys, Search::in_title)?;
    let anywhere = newest(conn, actor, &keys, Search::anywhere)?;
    let places: Vec<Slice<Place>> = keys
        .iter()
        .zip(in_title.into_iter().zip(anywhere))
        .map(|((_, page), (in_title, anywhere))| {
            let is_other: HashSet<PostId> = in_title.iter().copied().collect();
            let others = anywhere.into_iter().filter(|id| !is_other.contains(id));
            let best = in_title
                .iter()
                .map(|id| (1, *id))
                .chain(others.map(|id| (0, id)));
            let (above, below) = page.bounds(Direction::Desc);
            let asked = best.take(BEST).filter(|place| {
                above.is_none_or(|above| *place > above) && below.is_none_or(|below| *place < below)
            });
            page.ordered_slice(asked.collect(), Direction::Desc, |place| *place)
        })
        .collect();
    let ids: HashSet<PostId> = places
        .iter()
        .flat_map(|s| s.items.iter().map(|p| p.1))
        .collect();
    let found: Vec<Post> = on!(conn, |c| posts::table
        .filter(lists::among(posts::id, ids))
        .select(Post::as_select())
        .load(c))?;
    let found: HashMap<PostId, Post> = found.into_iter().map(|post| (post.id, post)).collect();
    let slices = keys.into_iter().zip(places).map(|(key, places)| {
        let posts = places
            .items
            .iter()
            .filter_map(|(_, id)| found.get(id).cloned());
        let slice = Slice {
            items: posts.collect(),
            has_previous: places.has_previous,
            has_next: places.has_next,
        };
        (key, slice)
    });
    Ok(slices.collect())
}

/// The newest posts, as many as rank, that are found by `words` of each list's search.
fn newest(
    conn: &mut Conn,
    actor: Actor,
    keys: &[Key],
    words: fn(&Search) -> Vec<String>,
) -> Result<Vec<Vec<PostId>>> {
    let mut found: Vec<Vec<PostId>> = on!(conn, |c| {
        let queries = keys.iter().map(|(list, _)| {
            posts_of!(DB, actor, list, words)
                .select(posts::id)
                .order(posts::id.desc())
                .limit(BEST as i64)
        });
        lists::load_each(c, queries.collect())
    })?;
    for ids in &mut found {
        ids.sort_unstable_by(|one, other| other.cmp(one));
    }
    Ok(found)
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
                        let most = match list.ordered() {
                            Ordered::By(_) => COUNTED + 1,
                            Ordered::ByRank(_) => BEST as i64,
                        };
                        posts_of!(DB, actor, list, Search::anywhere)
                            .select(posts::id)
                            .limit(most)
                    });
                    lists::count_each(c, queries.collect())
                })?;
                Ok(keys.into_iter().zip(counts).collect())
            })
            .await
    }
}
