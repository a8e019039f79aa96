//! Lists of boards and of their members.

use diesel::{dsl::exists, prelude::*};

use super::may_enter;
use crate::{
    access::Actor,
    accounts::User,
    boards::Board,
    clock::Timestamp,
    connection::{COUNTED, Cursors, Direction},
    db::{
        Conn,
        lists::{self, keyset, keyset_of_two},
        on,
        tables::{board_grants, boards, users},
    },
    error::Result,
    ids::{BoardId, UserId},
    list::{Asked, List},
    text::Prefix,
};

/// A list of boards, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BoardList {
    /// Boards that the actor may enter.
    Readable { name_prefix: Option<Prefix> },
    /// Private boards that this user has a grant for. The caller has checked that the actor may see them.
    GrantedTo(UserId),
}

/// The query of the boards in a list, for the backend `$db`.
macro_rules! boards_of {
    ($db:ty, $actor:expr, $list:expr) => {{
        let mut query = boards::table.into_boxed::<$db>();
        match $list {
            BoardList::Readable { name_prefix } => {
                query = query.filter(may_enter($actor));
                if let Some(prefix) = name_prefix {
                    let (first, last) = prefix.bounds();
                    query = query.filter(boards::name_key.between(first, last));
                }
            }
            BoardList::GrantedTo(user) => {
                let grants = board_grants::table
                    .filter(board_grants::board_id.eq(boards::id))
                    .filter(board_grants::user_id.eq(*user));
                query = query
                    .filter(boards::is_available.and(boards::is_visible.eq(false)))
                    .filter(exists(grants));
            }
        }
        query
    }};
}

impl List for BoardList {
    type Item = Board;
    type Key = String;

    fn cursors(&self) -> Cursors {
        Cursors::Boards
    }

    fn direction(&self) -> Direction {
        Direction::Asc
    }

    fn key(&self, board: &Board) -> String {
        board.name.key.clone()
    }

    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Board>>> {
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = boards_of!(DB, actor, list).select(Board::as_select());
                keyset!(query, *page, list.direction(), boards::name_key)
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|list| {
                boards_of!(DB, actor, list)
                    .select(boards::id)
                    .limit(COUNTED + 1)
            });
            lists::count_each(c, queries.collect())
        })?)
    }
}

/// A user with a grant, and since when.
pub type Member = (User, Timestamp);

/// Users with a grant for a board, oldest grant first. The caller has checked that the actor may see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Members(pub BoardId);

impl List for Members {
    type Item = Member;
    type Key = (Timestamp, UserId);

    fn cursors(&self) -> Cursors {
        Cursors::BoardMembers
    }

    fn direction(&self) -> Direction {
        Direction::Asc
    }

    fn key(&self, (user, granted_at): &Member) -> (Timestamp, UserId) {
        (*granted_at, user.id)
    }

    fn read(conn: &mut Conn, _: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Member>>> {
        use board_grants::{board_id, granted_at, user_id};
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = board_grants::table
                    .inner_join(users::table)
                    .filter(board_id.eq(list.0))
                    .select((User::as_select(), granted_at))
                    .into_boxed::<DB>();
                keyset_of_two!(query, *page, list.direction(), (granted_at, user_id))
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, _: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|list| {
                board_grants::table
                    .filter(board_grants::board_id.eq(list.0))
                    .select(board_grants::user_id)
                    .limit(COUNTED + 1)
                    .into_boxed::<DB>()
            });
            lists::count_each(c, queries.collect())
        })?)
    }
}
