//! Full text, which each engine has in its own way: SQLite an FTS5 table, MySQL and MariaDB a FULLTEXT index. Both know a
//! post by its number, and take words that the program has made (`terms`): letters and digits, nothing that means more.

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

/// Keeps the words that `post` is found by, in place of those before.
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

/// That a post is found by all of some words. A condition on queries that have `posts`.
#[derive(Clone, Debug)]
pub struct Found {
    /// As FTS5 has it: words with spaces between.
    all: String,
    /// As boolean mode has it: each word with a plus.
    required: String,
}

/// That a post is found by all of `words`, of which there is at least one.
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
