//! Which posts a list has and in which order.

use async_graphql::{Enum, InputObject};

use crate::{
    connection::Direction,
    ids::{BoardId, PostId, UserId},
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

/// An order of posts. Among equals, the order in which they were posted decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, InputObject)]
pub struct PostOrder {
    /// What to order by.
    pub field: PostOrderField,
    /// Which way.
    #[graphql(default_with = "Direction::Desc")]
    pub direction: Direction,
}

/// A list of posts. Empty: all that the actor may read, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PostList {
    pub board: Option<BoardId>,
    pub author: Option<UserId>,
    pub search: Option<Search>,
    /// Without one, the newest first; of a search, the best.
    pub order: Option<PostOrder>,
}

/// How a list is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered<'a> {
    By(PostOrder),
    /// The best [`BEST`] of a search: titles that hold all of it before other posts, of each the newest first.
    ByRank(&'a Search),
}

/// How many posts a search has that is ordered by rank.
pub const BEST: usize = 500;

/// What tells a post's place in a list: the value that the list is ordered by, and the post.
pub type PostKey = (i64, PostId);

impl PostList {
    /// How this list is ordered.
    #[must_use]
    pub fn ordered(&self) -> Ordered<'_> {
        match (&self.order, &self.search) {
            (Some(order), _) => Ordered::By(*order),
            (None, Some(search)) => Ordered::ByRank(search),
            (None, None) => Ordered::By(PostOrder {
                field: PostOrderField::CreatedAt,
                direction: Direction::Desc,
            }),
        }
    }
}
