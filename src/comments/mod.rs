//! Comments on posts. Only its author and admins can see a hidden comment.

pub mod graphql;
pub mod live;
pub mod store;

use diesel::prelude::*;
use diesel_derive_newtype::DieselNewType;

use crate::{
    clock::Timestamp,
    db::tables::comments,
    error::Rule,
    ids::{CommentId, PostId, UserId},
    text,
};

/// A comment on a post.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = comments)]
pub struct Comment {
    pub id: CommentId,
    pub post_id: PostId,
    pub author_id: Option<UserId>,
    pub content: Content,
    pub is_visible: bool,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

/// What a comment says: 1 to 4 000 characters.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct Content(String);

impl Content {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(content: &str) -> Result<Self, Rule> {
        text::paragraphs(content, 1..=4_000).map(Self)
    }

    /// The content itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
