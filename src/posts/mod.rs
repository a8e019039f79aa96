//! Posts on boards. Only its author and admins can see a hidden post.

pub mod graphql;
pub mod jobs;
pub mod live;
pub mod store;

use diesel::prelude::*;
use diesel_derive_newtype::DieselNewType;

use crate::{
    clock::Timestamp,
    db::tables::posts,
    error::Rule,
    ids::{BoardId, PostId, UserId},
    text,
};

/// A post without its content, which is loaded separately when it is selected.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = posts)]
pub struct Post {
    pub id: PostId,
    pub board_id: BoardId,
    pub author_id: Option<UserId>,
    pub title: Title,
    pub is_visible: bool,
    pub view_count: i32,
    pub like_count: i32,
    /// Visible comments.
    pub comment_count: i32,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Post {
    /// A new post that is visible, with nothing counted yet.
    #[must_use]
    pub fn new(
        id: PostId,
        board: BoardId,
        author: UserId,
        title: Title,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            board_id: board,
            author_id: Some(author),
            title,
            is_visible: true,
            view_count: 0,
            like_count: 0,
            comment_count: 0,
            created_at,
            updated_at: None,
        }
    }
}

/// What a post is called: one line of 1 to 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct Title(String);

impl Title {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(title: &str) -> Result<Self, Rule> {
        text::line(title, 1..=128).map(Self)
    }

    /// The title itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a post says: 1 to 50 000 characters.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct Content(String);

impl Content {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(content: &str) -> Result<Self, Rule> {
        text::paragraphs(content, 1..=50_000).map(Self)
    }

    /// The content itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
