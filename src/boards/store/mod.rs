//! The store of boards: owns `boards` and `board_grants`, and decides who may enter. Lists are in `page`.

mod page;

use std::collections::HashMap;

use diesel::{
    dsl::{auto_type, exists},
    prelude::*,
    sql_types::Bool,
};

pub use page::{BoardList, Member, Members};

use super::{Board, BoardName, Information};
use crate::{
    access::{Act, Actor, Admin},
    app::App,
    bus::Topic,
    clock::Timestamp,
    db::{
        Conn, conflict,
        dialect::{self, Lockable},
        lists, on,
        tables::{board_grants, boards, users},
    },
    error::{Error, Result, Rule},
    files::store as files_store,
    ids::{BoardId, UserId},
    input::Violations,
    loader::Batch,
};

/// The input field for each unique column.
const UNIQUE: [(&str, &str); 1] = [("name_key", "name")];

/// Announces that a board, or who may enter it, was changed, or that the board was deleted.
#[must_use]
pub fn changed(board: BoardId) -> Topic<BoardId> {
    Topic::of("board-changed", board)
}

/// The condition, for a query on `boards`, that the actor may enter the board.
#[auto_type]
pub fn may_enter(actor: &Actor) -> _ {
    let is_admin: bool = actor.is_admin();
    let user: UserId = actor.id_or_nil();
    let granted = exists(
        board_grants::table
            .filter(board_grants::board_id.eq(boards::id))
            .filter(board_grants::user_id.eq(user)),
    );
    is_admin
        .into_sql::<Bool>()
        .or(boards::is_available.and(boards::is_visible.or(granted)))
}

/// Boards by id, of those that the actor may enter.
pub struct ReadableBoard;

impl Batch for ReadableBoard {
    type Key = BoardId;
    type Value = Board;

    async fn load(app: &App, actor: Actor, ids: Vec<BoardId>) -> Result<HashMap<BoardId, Board>> {
        app.db
            .read(move |conn| {
                let found: Vec<Board> = on!(conn, |c| boards::table
                    .filter(lists::among(boards::id, ids.iter().copied()))
                    .filter(may_enter(&actor))
                    .select(Board::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|board| (board.id, board)).collect())
            })
            .await
    }
}

/// Boards by id, for objects that the actor may already read: a reader of a post may read its board.
pub struct BoardOfReadable;

impl Batch for BoardOfReadable {
    type Key = BoardId;
    type Value = Board;
    const IS_KEPT: bool = true;

    async fn load(app: &App, _: Actor, ids: Vec<BoardId>) -> Result<HashMap<BoardId, Board>> {
        app.db
            .read(move |conn| {
                let found: Vec<Board> = on!(conn, |c| boards::table
                    .filter(lists::among(boards::id, ids.iter().copied()))
                    .select(Board::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|board| (board.id, board)).collect())
            })
            .await
    }
}

/// The boards that `actor` may enter.
///
/// # Errors
/// Those of the database.
pub fn enterable(conn: &mut Conn, actor: &Actor) -> Result<Vec<BoardId>> {
    Ok(on!(conn, |c| boards::table
        .filter(may_enter(actor))
        .select(boards::id)
        .load(c))?)
}

/// Loads a board that `actor` may enter.
///
/// # Errors
/// `NOT_FOUND` when it does not exist or `actor` may not enter it.
pub async fn readable(app: &App, actor: Actor, id: BoardId) -> Result<Board> {
    app.db.read(move |conn| readable_in(conn, &actor, id)).await
}

/// [`readable`] within a transaction.
///
/// # Errors
/// As [`readable`].
pub fn readable_in(conn: &mut Conn, actor: &Actor, id: BoardId) -> Result<Board> {
    Ok(on!(conn, |c| boards::table
        .filter(boards::id.eq(id))
        .filter(may_enter(actor))
        .select(Board::as_select())
        .first(c))?)
}

/// A board to be.
#[derive(Clone, Debug)]
pub struct NewBoard {
    pub name: BoardName,
    pub information: Information,
    pub is_visible: bool,
    pub is_available: bool,
    pub members: Vec<UserId>,
}

/// Creates a board.
///
/// # Errors
/// `CONFLICT` when the name is taken; `INVALID` at `memberIds.N` for unknown users.
pub async fn insert(app: &App, _: &Act<'_, Admin>, new: NewBoard) -> Result<Board> {
    let board = Board {
        id: app.clock.id(),
        name: new.name,
        information: new.information,
        is_visible: new.is_visible,
        is_available: new.is_available,
        post_count: 0,
        created_at: app.clock.now(),
        updated_at: None,
    };
    let members = new.members;
    app.db
        .write(move |conn| {
            refuse_taken(conn, board.id, &board.name.key)?;
            on!(conn, |c| diesel::insert_into(boards::table)
                .values(&board)
                .execute(c))
            .map_err(|error| conflict(error, &UNIQUE))?;
            grant(conn, board.id, &members, "memberIds", board.created_at)?;
            Ok(board.clone())
        })
        .await
}

/// A change of a board. Absent fields stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct BoardChanges {
    pub name: Option<BoardName>,
    pub information: Option<Information>,
    pub is_visible: Option<bool>,
    pub is_available: Option<bool>,
    pub add_members: Vec<UserId>,
    pub remove_members: Vec<UserId>,
}

impl BoardChanges {
    /// Whether they change the row of `board`. Grants are not part of it.
    fn change(&self, board: &Board) -> bool {
        self.name
            .as_ref()
            .is_some_and(|n| n.text != board.name.text)
            || self
                .information
                .as_ref()
                .is_some_and(|i| *i != board.information)
            || self.is_visible.is_some_and(|v| v != board.is_visible)
            || self.is_available.is_some_and(|a| a != board.is_available)
    }
}

/// Changes a board and who may enter it. A change without effect on the board leaves its `updated_at` as it is.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` when the name is taken; `INVALID` at `addMemberIds.N` for unknown users.
pub async fn update(
    app: &App,
    _: &Act<'_, Admin>,
    id: BoardId,
    changes: BoardChanges,
) -> Result<Board> {
    let now = app.clock.now();
    let board = app
        .db
        .write(move |conn| {
            dialect::lock(conn, Lockable::Boards, id)?;
            if let Some(name) = &changes.name {
                refuse_taken(conn, id, &name.key)?;
            }
            let find = |conn: &mut Conn| -> Result<Board> {
                Ok(on!(conn, |c| boards::table
                    .find(id)
                    .select(Board::as_select())
                    .get_result(c))?)
            };
            let mut board = find(conn)?;
            if changes.change(&board) {
                let row = (
                    changes.name.as_ref(),
                    changes
                        .information
                        .as_ref()
                        .map(|i| boards::information.eq(i)),
                    changes.is_visible.map(|v| boards::is_visible.eq(v)),
                    changes.is_available.map(|a| boards::is_available.eq(a)),
                    boards::updated_at.eq(now),
                );
                on!(conn, |c| diesel::update(boards::table.find(id))
                    .set(row)
                    .execute(c))
                .map_err(|error| conflict(error, &UNIQUE))?;
                board = find(conn)?;
            }
            let removed = &changes.remove_members;
            on!(conn, |c| {
                let grants = board_grants::table.filter(
                    board_grants::board_id
                        .eq(id)
                        .and(board_grants::user_id.eq_any(removed)),
                );
                diesel::delete(grants).execute(c)
            })?;
            grant(conn, id, &changes.add_members, "addMemberIds", now)?;
            Ok(board)
        })
        .await?;
    app.bus.publish(&changed(id), id);
    Ok(board)
}

/// Deletes a board with its posts and their comments.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn delete(app: &App, _: &Act<'_, Admin>, id: BoardId) -> Result<()> {
    let ports = app.clone();
    let waiting = app
        .db
        .write(move |conn| {
            let deleted = on!(conn, |c| diesel::delete(boards::table.find(id)).execute(c))?;
            if deleted == 0 {
                return Err(Error::NotFound);
            }
            files_store::clear_away(conn, &ports)
        })
        .await?;
    app.queue.announce_any([waiting]);
    app.bus.publish(&changed(id), id);
    Ok(())
}

/// Adds `change` to the number of visible posts, and locks the board's row until the transaction ends. Call it before
/// writing the post's row: MySQL locks the board for the foreign key too, and two writers could deadlock.
///
/// # Errors
/// `NOT_FOUND` when there is no such board.
pub fn count_posts(conn: &mut Conn, board: BoardId, change: i32) -> Result<()> {
    let counted = boards::post_count.eq(boards::post_count + change);
    let updated = on!(conn, |c| diesel::update(boards::table.find(board))
        .set(counted)
        .execute(c))?;
    if updated == 0 {
        Err(Error::NotFound)
    } else {
        Ok(())
    }
}

fn grant(
    conn: &mut Conn,
    board: BoardId,
    members: &[UserId],
    field: &str,
    at: Timestamp,
) -> Result<()> {
    let known: Vec<UserId> = on!(conn, |c| users::table
        .filter(users::id.eq_any(members))
        .select(users::id)
        .load(c))?;
    let mut violations = Violations::default();
    for (n, _) in members
        .iter()
        .enumerate()
        .filter(|(_, member)| !known.contains(member))
    {
        violations.push(Rule::Unknown.at(format!("{field}.{n}")));
    }
    violations.invalid()?;
    insert_grants(conn, board, members, at)
}

/// Grants `members` entry to `board`; those who have it already keep the older grant.
fn insert_grants(conn: &mut Conn, board: BoardId, members: &[UserId], at: Timestamp) -> Result<()> {
    for member in members {
        let row = (
            board_grants::board_id.eq(board),
            board_grants::user_id.eq(*member),
            board_grants::granted_at.eq(at),
        );
        on!(conn, |c| diesel::insert_or_ignore_into(board_grants::table)
            .values(row)
            .execute(c))?;
    }
    Ok(())
}

fn refuse_taken(conn: &mut Conn, own: BoardId, key: &str) -> Result<()> {
    let is_taken: bool = on!(conn, |c| {
        diesel::select(exists(
            boards::table.filter(boards::name_key.eq(key).and(boards::id.ne(own))),
        ))
        .get_result(c)
    })?;
    if is_taken {
        Err(Error::conflict("name", Rule::Taken))
    } else {
        Ok(())
    }
}
