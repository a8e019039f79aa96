//! Inserts the rows of the demo in batches, exactly as given. The stores check, count and publish; this does not, since
//! nobody uses the database yet.

use diesel::{
    prelude::*,
    sql_types::{Binary, Text},
};

use crate::{
    accounts::User,
    boards::Board,
    clock::Timestamp,
    comments::Comment,
    db::{
        Conn, Db, on,
        tables::{board_grants, boards, comments, posts, users},
    },
    error::Result,
    ids::{BoardId, UserId},
    posts::{Content, Post},
    terms,
};

/// Inserts rows: with one statement on MySQL, where each statement is a round trip; with one statement per row on
/// SQLite, where diesel would otherwise begin a transaction of its own.
macro_rules! insert {
    ($conn:expr, $table:expr, $rows:expr) => {
        match $conn {
            Conn::Sqlite(c) => {
                for row in $rows {
                    diesel::insert_into($table).values(row).execute(c)?;
                }
            }
            Conn::Mysql(c) => {
                diesel::insert_into($table).values($rows).execute(c)?;
            }
        }
    };
}

pub(super) use insert;

/// Whether there is neither a user nor a board.
///
/// # Errors
/// Those of the database.
pub(super) async fn is_empty(db: &Db) -> Result<bool> {
    db.read(|conn| {
        let user: Option<UserId> =
            on!(conn, |c| users::table.select(users::id).first(c).optional())?;
        let board: Option<BoardId> = on!(conn, |c| boards::table
            .select(boards::id)
            .first(c)
            .optional())?;
        Ok(user.is_none() && board.is_none())
    })
    .await
}

/// An account with the hash of its password.
pub(super) type Account = (User, String);

/// # Errors
/// Those of the database.
pub(super) fn insert_users(conn: &mut Conn, accounts: &[Account]) -> Result<()> {
    let rows: Vec<_> = accounts
        .iter()
        .map(|(user, password_hash)| {
            (
                (
                    users::id.eq(user.id),
                    users::joined_at.eq(user.joined_at),
                    users::role.eq(user.role),
                    users::is_banned.eq(user.is_banned),
                ),
                &user.name,
                &user.email,
                users::password_hash.eq(password_hash),
            )
        })
        .collect();
    insert!(conn, users::table, rows);
    Ok(())
}

/// Inserts boards, and grants `members` entry to the private ones.
///
/// # Errors
/// Those of the database.
pub(super) fn insert_boards(
    conn: &mut Conn,
    rows: &[Board],
    members: &[UserId],
    at: Timestamp,
) -> Result<()> {
    insert!(conn, boards::table, rows);
    let private = rows.iter().filter(|board| !board.is_visible);
    let grants: Vec<_> = private
        .flat_map(|board| members.iter().map(|member| (board.id, *member)))
        .map(|(board, member)| {
            (
                board_grants::board_id.eq(board),
                board_grants::user_id.eq(member),
                board_grants::granted_at.eq(at),
            )
        })
        .collect();
    if !grants.is_empty() {
        insert!(conn, board_grants::table, grants);
    }
    Ok(())
}

/// A post with its content.
#[derive(Clone, Debug)]
pub(super) struct WholePost {
    pub post: Post,
    pub content: Content,
}

/// Inserts posts, and the words that they are found by.
///
/// # Errors
/// Those of the database.
pub(super) fn insert_posts(conn: &mut Conn, whole: &[WholePost]) -> Result<()> {
    let rows: Vec<_> = whole
        .iter()
        .map(|WholePost { post, content }| {
            (
                (
                    posts::id.eq(post.id),
                    posts::board_id.eq(post.board_id),
                    posts::author_id.eq(post.author_id),
                    posts::title.eq(&post.title),
                    posts::content.eq(content),
                    posts::is_visible.eq(post.is_visible),
                ),
                (
                    posts::view_count.eq(post.view_count),
                    posts::comment_count.eq(post.comment_count),
                    posts::created_at.eq(post.created_at),
                    posts::updated_at.eq(post.updated_at),
                    posts::changed_at.eq(post.updated_at.unwrap_or(post.created_at)),
                ),
            )
        })
        .collect();
    insert!(conn, posts::table, rows);
    insert_words(conn, whole)
}

/// Posts whose words one statement writes.
const BATCH: usize = 200;

fn insert_words(conn: &mut Conn, whole: &[WholePost]) -> Result<()> {
    let table = match conn {
        Conn::Sqlite(_) => "post_search (rowid, terms)",
        Conn::Mysql(_) => "post_search (number, terms)",
    };
    for batch in whole.chunks(BATCH) {
        let row = "((SELECT number FROM posts WHERE id = ?), ?)";
        let rows = vec![row; batch.len()].join(", ");
        let statement = format!("INSERT INTO {table} VALUES {rows}");
        on!(conn, |c| {
            let mut query = diesel::sql_query(statement).into_boxed::<DB>();
            for WholePost { post, content } in batch {
                let words = terms::words(post.title.as_str(), content.as_str());
                query = query.bind::<Binary, _>(post.id).bind::<Text, _>(words);
            }
            query.execute(c)
        })?;
    }
    Ok(())
}

/// # Errors
/// Those of the database.
pub(super) fn insert_comments(conn: &mut Conn, rows: &[Comment]) -> Result<()> {
    insert!(conn, comments::table, rows);
    Ok(())
}
