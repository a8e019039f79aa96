//! Lists of posts: which posts a list contains, and in which order.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_graphql::{Enum, InputObject};
use diesel::{prelude::*, sql_types::Bool};

use super::{is_shown, search};
use crate::{
    access::Actor,
    boards::store as boards_store,
    connection::{COUNTED, Cursors, Direction, Page},
    db::{
        Conn,
        lists::{self, keyset, keyset_of_two},
        on,
        tables::{boards, posts},
    },
    error::Result,
    ids::{BoardId, PostId, UserId},
    list::{Asked, List, Part},
    posts::Post,
    terms::Search,
};

/// What posts can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enum)]
pub enum PostOrderField {
    /// When it was posted.
    CreatedAt,
    /// The last change, creation included.
    UpdatedAt,
    /// How many times it was opened.
    Views,
    /// How many people like it.
    Likes,
    /// How many visible comments it has.
    Comments,
}

/// An order of posts. Posts with the same value are ordered by when they were posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, InputObject)]
pub struct PostOrder {
    /// What to order by.
    pub field: PostOrderField,
    /// Which way.
    #[graphql(default_with = "Direction::Desc")]
    pub direction: Direction,
}

/// The order of a list that names none.
const NEWEST: PostOrder = PostOrder {
    field: PostOrderField::CreatedAt,
    direction: Direction::Desc,
};

/// A list of posts. The default is all posts that the actor may read, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PostList {
    pub board: Option<BoardId>,
    pub author: Option<UserId>,
    pub search: Option<Search>,
    /// Without an order: newest first, or the best matches of a search.
    pub order: Option<PostOrder>,
}

/// How a list is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ordered<'a> {
    By(PostOrder),
    /// The best [`BEST`] matches of a search: posts whose titles contain all terms come before other posts, each newest
    /// first.
    ByRank(&'a Search),
}

/// The most posts of a search that is ordered by rank.
const BEST: usize = 500;

/// Boards that one statement looks at.
const BOARDS: usize = 100;

/// The key of a post in a list: the value that the list is ordered by, and the post's id.
pub type PostKey = (i64, PostId);

impl PostList {
    /// How this list is ordered.
    fn ordered(&self) -> Ordered<'_> {
        match (&self.order, &self.search) {
            (Some(order), _) => Ordered::By(*order),
            (None, Some(search)) => Ordered::ByRank(search),
            (None, None) => Ordered::By(NEWEST),
        }
    }

    /// The parts in which it is read. None stands for the whole list: other indexes lead to what a search finds and to the
    /// posts of all boards.
    fn parts(&self, actor: &Actor) -> Vec<Option<Part>> {
        if self.search.is_some() || (self.board.is_none() && self.author.is_none()) {
            return vec![None];
        }
        let parts = Part::of(actor, self.author);
        parts.iter().copied().map(Some).collect()
    }
}

/// The query of the posts in a part of a list that the actor may read, or in the whole list, for the backend `$db`.
/// `$words` are those of its search.
macro_rules! posts_of {
    ($db:ty, $actor:expr, $list:expr, $words:expr, $part:expr) => {{
        let part: Option<Part> = $part;
        let mut query = posts::table.into_boxed::<$db>();
        query = match $list.search.as_ref().map($words).as_deref() {
            None => query,
            Some([]) => query.filter(false.into_sql::<Bool>()),
            Some(words) => query.filter(search::found_by(words)),
        };
        if !$actor.is_admin() {
            // A subquery for each post, not a join: MariaDB would start with the boards and sort all of their posts.
            let of_post = boards::table.filter(boards::id.eq(posts::board_id));
            query = query.filter(of_post.select(boards_store::may_enter($actor)).single_value());
        }
        query = match part {
            None if $actor.is_admin() => query,
            None => query.filter(is_shown($actor)),
            Some(part) => query.filter(posts::is_visible.eq(part == Part::Visible)),
        };
        let are_own = part == Some(Part::Hidden) && !$actor.is_admin();
        if are_own {
            query = query.filter(posts::author_id.eq($actor.id_or_nil()));
        }
        query = match $list.board {
            // Few posts are the actor's own. Without the function, engines would look at all that are hidden on the board.
            Some(board) if are_own => {
                query.filter(lists::coalesce(posts::board_id, posts::board_id).eq(board))
            }
            Some(board) => query.filter(posts::board_id.eq(board)),
            None => query,
        };
        if let Some(author) = $list.author {
            query = query.filter(posts::author_id.eq(author));
        }
        query
    }};
}

impl List for PostList {
    type Item = Post;
    type Key = PostKey;

    /// Cursors of a ranked list are valid for that search only.
    fn cursors(&self) -> Cursors {
        let PostOrder { field, direction } = match self.ordered() {
            Ordered::By(order) => order,
            Ordered::ByRank(search) => return Cursors::Posts(search.number() | 1 << 63),
        };
        let field = match field {
            PostOrderField::CreatedAt => 0,
            PostOrderField::UpdatedAt => 2,
            PostOrderField::Views => 4,
            PostOrderField::Likes => 6,
            PostOrderField::Comments => 8,
        };
        Cursors::Posts(field + u64::from(direction == Direction::Asc))
    }

    fn key(&self, post: &Post) -> PostKey {
        let order = match self.ordered() {
            Ordered::By(order) => order,
            Ordered::ByRank(search) => {
                return (search.matches(post.title.as_str()).into(), post.id);
            }
        };
        let value = match order.field {
            // Ids begin with the time of creation.
            PostOrderField::CreatedAt => 0,
            PostOrderField::UpdatedAt => post.updated_at.unwrap_or(post.created_at).micros(),
            PostOrderField::Views => post.view_count.into(),
            PostOrderField::Likes => post.like_count.into(),
            PostOrderField::Comments => post.comment_count.into(),
        };
        (value, post.id)
    }

    fn direction(&self) -> Direction {
        match self.ordered() {
            Ordered::By(order) => order.direction,
            Ordered::ByRank(_) => Direction::Desc,
        }
    }

    /// No order changes the number, except that a ranked list ends with its best matches.
    fn to_count(&self) -> Self {
        let order = match self.ordered() {
            Ordered::ByRank(_) => None,
            Ordered::By(_) => Some(NEWEST),
        };
        Self {
            order,
            ..self.clone()
        }
    }

    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Post>>> {
        let mut found: Vec<Vec<Post>> = vec![Vec::new(); asked.len()];
        let (ranked, in_an_order): (Vec<usize>, Vec<usize>) =
            (0..asked.len()).partition(|n| matches!(asked[*n].0.ordered(), Ordered::ByRank(_)));
        for (which, read) in [(in_an_order, ordered as Reading), (ranked, by_rank)] {
            let part: Vec<_> = which.iter().map(|n| &asked[*n]).collect();
            if !part.is_empty() {
                for (n, posts) in which.into_iter().zip(read(conn, actor, &part)?) {
                    found[n] = posts;
                }
            }
        }
        Ok(found)
    }

    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|list| {
                let most = match list.ordered() {
                    Ordered::By(_) => COUNTED + 1,
                    Ordered::ByRank(_) => BEST as i64,
                };
                let part = |part| {
                    posts_of!(DB, actor, list, Search::anywhere, part)
                        .select(posts::id)
                        .limit(most)
                };
                list.parts(actor).into_iter().map(part).collect()
            });
            lists::count_parts(c, queries.collect())
        })?)
    }
}

type Reading = fn(&mut Conn, &Actor, &[&Asked<PostList>]) -> Result<Vec<Vec<Post>>>;

/// The pages of ordered lists. A list of all boards may begin with any number of posts that the actor may not read; when
/// there are many, it is read from the boards that the actor may enter.
fn ordered(conn: &mut Conn, actor: &Actor, asked: &[&Asked<PostList>]) -> Result<Vec<Vec<Post>>> {
    let may_skip_others = |list: &PostList| {
        let is_of_all = list.board.is_none() && list.author.is_none() && list.search.is_none();
        is_of_all && !actor.is_admin()
    };
    if !asked.iter().any(|(list, _)| may_skip_others(list)) {
        return in_order(conn, actor, asked);
    }
    let quick = |conn: &mut Conn, limit| in_order_within(limit, conn, actor, asked);
    if let Some(found) = conn.if_short(quick)? {
        return Ok(found);
    }
    let mut found = Vec::with_capacity(asked.len());
    for one in asked {
        let (list, page) = one;
        if may_skip_others(list) {
            found.push(from_boards(conn, actor, list, page)?);
        } else {
            found.extend(in_order(conn, actor, &[one])?);
        }
    }
    Ok(found)
}

/// Reads a page of each board whose first post can be on the page: as many boards as the page has posts.
fn from_boards(
    conn: &mut Conn,
    actor: &Actor,
    list: &PostList,
    page: &Page<PostKey>,
) -> Result<Vec<Post>> {
    let on = |board: BoardId, page: &Page<PostKey>| {
        let list = PostList {
            board: Some(board),
            ..list.clone()
        };
        (list, page.clone())
    };
    let one = Page {
        limit: 0,
        ..page.clone()
    };
    let mut first: Vec<Post> = Vec::new();
    for boards in boards_store::enterable(conn, actor)?.chunks(BOARDS) {
        let asked: Vec<_> = boards.iter().map(|board| on(*board, &one)).collect();
        let found = in_order(conn, actor, &asked.iter().collect::<Vec<_>>())?;
        first.extend(found.into_iter().flatten());
        page.sort(&mut first, list.direction(), |post| list.key(post));
        first.truncate(page.limit + 1);
    }
    let asked: Vec<_> = first.iter().map(|post| on(post.board_id, page)).collect();
    let found = in_order(conn, actor, &asked.iter().collect::<Vec<_>>())?;
    Ok(found.into_iter().flatten().collect())
}

/// One page of each list, read with one statement.
fn in_order(conn: &mut Conn, actor: &Actor, asked: &[&Asked<PostList>]) -> Result<Vec<Vec<Post>>> {
    in_order_within(None, conn, actor, asked)
}

/// As [`in_order`], but MySQL may take the time of `limit` only.
fn in_order_within(
    limit: Option<Duration>,
    conn: &mut Conn,
    actor: &Actor,
    asked: &[&Asked<PostList>],
) -> Result<Vec<Vec<Post>>> {
    Ok(on!(conn, |c| {
        let queries = asked.iter().filter_map(|(list, page)| {
            let Ordered::By(PostOrder { field, direction }) = list.ordered() else {
                return None;
            };
            let part = |part| {
                let query =
                    posts_of!(DB, actor, list, Search::anywhere, part).select(Post::as_select());
                match field {
                    PostOrderField::CreatedAt => {
                        keyset!(query, page.by(|(_, id)| *id), direction, posts::id)
                    }
                    PostOrderField::UpdatedAt => {
                        keyset_of_two!(query, *page, direction, (posts::changed_at, posts::id))
                    }
                    PostOrderField::Views => {
                        keyset_of_two!(query, *page, direction, (posts::view_count, posts::id))
                    }
                    PostOrderField::Likes => {
                        keyset_of_two!(query, *page, direction, (posts::like_count, posts::id))
                    }
                    PostOrderField::Comments => {
                        keyset_of_two!(query, *page, direction, (posts::comment_count, posts::id))
                    }
                }
            };
            Some(list.parts(actor).into_iter().map(part).collect())
        });
        lists::load_parts(limit, c, queries.collect())
    })?)
}

fn by_rank(conn: &mut Conn, actor: &Actor, asked: &[&Asked<PostList>]) -> Result<Vec<Vec<Post>>> {
    let in_title = newest(conn, actor, asked, Search::in_title)?;
    let anywhere = newest(conn, actor, asked, Search::anywhere)?;
    let pages: Vec<Vec<PostId>> = asked
        .iter()
        .zip(in_title.into_iter().zip(anywhere))
        .map(|((_, page), (in_title, anywhere))| best_of(page, &in_title, anywhere))
        .collect();
    let ids: HashSet<PostId> = pages.iter().flatten().copied().collect();
    let found: Vec<Post> = on!(conn, |c| posts::table
        .filter(lists::among(posts::id, ids))
        .select(Post::as_select())
        .load(c))?;
    let found: HashMap<PostId, Post> = found.into_iter().map(|post| (post.id, post)).collect();
    let found = |ids: Vec<PostId>| ids.iter().filter_map(|id| found.get(id).cloned()).collect();
    Ok(pages.into_iter().map(found).collect())
}

/// The posts on a page of the best matches, where matches in the title come first.
fn best_of(page: &Page<PostKey>, in_title: &[PostId], anywhere: Vec<PostId>) -> Vec<PostId> {
    let is_in_title: HashSet<&PostId> = in_title.iter().collect();
    let others = anywhere.into_iter().filter(|id| !is_in_title.contains(id));
    let (above, below) = page.bounds(Direction::Desc);
    let best = in_title.iter().map(|id| (1, *id));
    let mut asked: Vec<PostKey> = best
        .chain(others.map(|id| (0, id)))
        .take(BEST)
        .filter(|key| above.is_none_or(|above| *key > above))
        .filter(|key| below.is_none_or(|below| *key < below))
        .collect();
    if page.backwards {
        asked.reverse();
    }
    asked.truncate(page.limit + 1);
    asked.into_iter().map(|(_, id)| id).collect()
}

/// The newest [`BEST`] posts that match `words` of each list's search.
fn newest(
    conn: &mut Conn,
    actor: &Actor,
    asked: &[&Asked<PostList>],
    words: fn(&Search) -> Vec<String>,
) -> Result<Vec<Vec<PostId>>> {
    let mut found: Vec<Vec<PostId>> = on!(conn, |c| {
        let queries = asked.iter().map(|(list, _)| {
            posts_of!(DB, actor, list, words, None)
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
