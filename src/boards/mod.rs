//! Boards: places to post in, and who may enter them. A visible board is open to every reader, an invisible one to
//! users with a grant. Only admins see a board that is not available.

pub mod graphql;
pub mod store;

use diesel::prelude::*;
use diesel_derive_newtype::DieselNewType;

use crate::{clock::Timestamp, db::tables::boards, error::Rule, ids::BoardId, text};

/// A place to post in.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = boards)]
pub struct Board {
    pub id: BoardId,
    #[diesel(embed)]
    pub name: BoardName,
    pub information: Information,
    pub is_visible: bool,
    pub is_available: bool,
    /// Visible posts.
    pub post_count: i32,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

/// What a board is called: one line of 1 to 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = boards)]
pub struct BoardName {
    #[diesel(column_name = name)]
    pub text: String,
    /// What must be unique.
    #[diesel(column_name = name_key)]
    pub key: String,
}

impl BoardName {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(name: &str) -> Result<Self, Rule> {
        let (text, key) = text::name(name, 1..=128)?;
        Ok(Self { text, key })
    }
}

/// What a board is for: 1 to 512 characters, several lines.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct Information(String);

impl Information {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(information: &str) -> Result<Self, Rule> {
        text::paragraphs(information, 1..=512).map(Self)
    }

    /// The information itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
