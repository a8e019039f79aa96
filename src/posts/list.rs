//! Which posts a list has and in which order.

use async_graphql::{Enum, InputObject};

use super::Post;
use crate::{
    connection::{Direction, List},
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

/// A post's place in a list: what the list is ordered by, and the post.
pub type Place = (i64, PostId);

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

    /// The list that cursors of this order belong to. Those of a rank are good for their search only.
    #[must_use]
    pub fn cursors(&self) -> List {
        let PostOrder { field, direction } = match self.ordered() {
            Ordered::By(order) => order,
            Ordered::ByRank(search) => return List::Posts(search.number() | 1 << 63),
        };
        let field = match field {
            PostOrderField::CreatedAt => 0,
            PostOrderField::UpdatedAt => 2,
            PostOrderField::Views => 4,
            PostOrderField::Likes => 6,
            PostOrderField::Comments => 8,
        };
        List::Posts(field + u64::from(direction == Direction::Asc))
    }

    /// The place of a post in this list.
    #[must_use]
    pub fn place(&self, post: &Post) -> Place {
        let order = match self.ordered() {
            Ordered::By(order) => order,
            Ordered::ByRank(search) => return (search.matches(&post.title).into(), post.id),
        };
        let value = match order.field {
            // Ids begin with the time of their making.
            PostOrderField::CreatedAt => 0,
            PostOrderField::UpdatedAt => post.updated_at.unwrap_or(post.created_at).micros(),
            PostOrderField::Views => post.view_count.into(),
            PostOrderField::Likes => post.like_count.into(),
            PostOrderField::Comments => post.comment_count.into(),
        };
        (value, post.id)
    }
}
