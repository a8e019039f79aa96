//! Which posts a list contains, and in which order.

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

/// An order of posts. Posts with the same value are ordered by when they were posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, InputObject)]
pub struct PostOrder {
    /// What to order by.
    pub field: PostOrderField,
    /// Which way.
    #[graphql(default_with = "Direction::Desc")]
    pub direction: Direction,
}

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
pub enum Ordered<'a> {
    By(PostOrder),
    /// The best [`BEST`] matches of a search: posts whose titles contain all terms come before other posts, each newest
    /// first.
    ByRank(&'a Search),
}

/// The most posts of a search that is ordered by rank.
pub const BEST: usize = 500;

/// The key of a post in a list: the value that the list is ordered by, and the post's id.
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
