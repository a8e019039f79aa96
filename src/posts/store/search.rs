//! Full text search: an FTS5 table on SQLite, a FULLTEXT index on MySQL and MariaDB. Both know a post by its number,
//! and index words that the program makes (`terms`): only letters and digits, without any query syntax.

use diesel::{
    QueryResult, RunQueryDsl,
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    mysql::Mysql,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Binary, Bool, Text},
    sqlite::Sqlite,
};

use crate::{
    db::{Conn, on, tables::posts},
    error::Result,
    ids::PostId,
};

/// Stores the words of `post`, and replaces earlier ones.
///
/// # Errors
/// Those of the database.
pub fn write(conn: &mut Conn, post: PostId, words: &str) -> Result<()> {
    let statement = match conn {
        Conn::Sqlite(_) => {
            "INSERT OR REPLACE INTO post_search (rowid, terms) SELECT number, ? FROM posts WHERE id = ?"
        }
        Conn::Mysql(_) => {
            "INSERT INTO post_search (number, terms) SELECT number, ? FROM posts WHERE id = ? \
             ON DUPLICATE KEY UPDATE terms = VALUES(terms)"
        }
    };
    on!(conn, |c| diesel::sql_query(statement)
        .bind::<Text, _>(words)
        .bind::<Binary, _>(post)
        .execute(c))?;
    Ok(())
}

/// The condition, for a query on `posts`, that a post contains all of some words.
#[derive(Clone, Debug)]
pub struct Found {
    /// In FTS5's syntax: words separated by spaces.
    all: String,
    /// In the syntax of boolean mode: each word with a plus.
    required: String,
}

/// The condition that a post contains all of `words`, which must not be empty.
#[must_use]
pub fn found_by(words: &[String]) -> Found {
    Found {
        all: words.join(" "),
        required: format!("+{}", words.join(" +")),
    }
}

impl Expression for Found {
    type SqlType = Bool;
}

impl<T> AppearsOnTable<T> for Found where posts::number: AppearsOnTable<T> {}

impl<T> SelectableExpression<T> for Found where Self: AppearsOnTable<T> {}

impl ValidGrouping<()> for Found {
    type IsAggregate = is_aggregate::No;
}

impl QueryId for Found {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Sqlite> for Found {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("`posts`.`number` IN (SELECT rowid FROM post_search WHERE post_search MATCH ");
        out.push_bind_param::<Text, _>(&self.all)?;
        out.push_sql(")");
        Ok(())
    }
}

impl QueryFragment<Mysql> for Found {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(
            "`posts`.`number` IN (SELECT number FROM post_search WHERE MATCH (terms) AGAINST (",
        );
        out.push_bind_param::<Text, _>(&self.required)?;
        out.push_sql(" IN BOOLEAN MODE))");
        Ok(())
    }
}
