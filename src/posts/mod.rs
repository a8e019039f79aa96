//! Posts: what people write on boards. A hidden post exists for its author and admins only.

pub mod graphql;
pub mod list;
pub mod live;
pub mod store;

use diesel::prelude::*;

use crate::{
    clock::Timestamp,
    db::tables::posts,
    error::Rule,
    ids::{BoardId, PostId, UserId},
    text,
};

/// A post, without its content, which lists do not show and which is loaded when it is asked for.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = posts)]
pub struct Post {
    pub id: PostId,
    pub board_id: BoardId,
    pub author_id: Option<UserId>,
    pub title: String,
    pub is_visible: bool,
    pub view_count: i32,
    pub like_count: i32,
    /// Visible comments.
    pub comment_count: i32,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

/// One line of 1 to 128 characters.
///
/// # Errors
/// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
pub fn parse_title(title: &str) -> Result<String, Rule> {
    text::line(title, 1..=128)
}

/// 1 to 50 000 characters.
///
/// # Errors
/// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
pub fn parse_content(content: String) -> Result<String, Rule> {
    text::paragraphs(&content, 1..=50_000)
}
