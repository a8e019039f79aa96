//! Lists of boards and of their members, for all lists of one level of a document at once.

use std::collections::HashMap;

use diesel::{dsl::exists, prelude::*};

use super::{grantee, may_enter};
use crate::{
    access::Actor,
    accounts::User,
    app::App,
    boards::Board,
    clock::Timestamp,
    connection::{COUNTED, Direction, Page, Slice},
    db::{
        lists::{self, keyset, keyset_of_two},
        on,
        tables::{board_grants, boards, users},
    },
    error::Result,
    ids::{BoardId, UserId},
    loader::Batch,
};

/// A list of boards, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BoardList {
    /// Boards that the actor may enter.
    Enterable {
        /// Begins the name's key; see [`crate::text::prefix`].
        name_prefix: Option<String>,
    },
    /// Private boards that this user may enter by a grant. That the actor may know of them has been seen to.
    GrantedTo(UserId),
}

/// The query of the boards in a list, for the backend `$db`.
macro_rules! boards_of {
    ($db:ty, $actor:expr, $list:expr) => {{
        let mut query = boards::table.into_boxed::<$db>();
        match $list {
            BoardList::Enterable { name_prefix } => {
                if !$actor.is_admin() {
                    query = query.filter(may_enter!(grantee(&$actor)));
                }
                if let Some(prefix) = name_prefix {
                    let end = format!("{prefix}\u{10ffff}");
                    query = query.filter(boards::name_key.between(prefix, end));
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

/// Pages of lists of boards.
pub struct PageOfBoards;

impl Batch for PageOfBoards {
    type Key = (BoardList, Page<String>);
    type Value = Slice<Board>;

    async fn load(
        app: &App,
        actor: Actor,
        keys: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Slice<Board>>> {
        app.db
            .read(move |conn| {
                let found: Vec<Vec<Board>> = on!(conn, |c| {
                    let queries = keys.iter().map(|(list, page)| {
                        let query = boards_of!(DB, actor, list).select(Board::as_select());
                        keyset!(query, *page, Direction::Asc, boards::name_key)
                    });
                    lists::load_each(c, queries.collect())
                })?;
                let slices = keys.into_iter().zip(found).map(|((list, page), found)| {
                    let slice = page.ordered_slice(found, Direction::Asc, |b| b.name_key.clone());
                    ((list, page), slice)
                });
                Ok(slices.collect())
            })
            .await
    }
}

/// How many boards lists have, up to one more than is told.
pub struct CountOfBoards;

impl Batch for CountOfBoards {
    type Key = BoardList;
    type Value = i64;

    async fn load(
        app: &App,
        actor: Actor,
        keys: Vec<BoardList>,
    ) -> Result<HashMap<BoardList, i64>> {
        app.db
            .read(move |conn| {
                let counts = on!(conn, |c| {
                    let queries = keys.iter().map(|list| {
                        boards_of!(DB, actor, list)
                            .select(boards::id)
                            .limit(COUNTED + 1)
                    });
                    lists::count_each(c, queries.collect())
                })?;
                Ok(keys.into_iter().zip(counts).collect())
            })
            .await
    }
}

/// A user with a grant, and since when.
pub type Member = (User, Timestamp);

/// Pages of the users with a grant for boards, oldest grant first.
pub struct PageOfMembers;

impl Batch for PageOfMembers {
    type Key = (BoardId, Page<(Timestamp, UserId)>);
    type Value = Slice<Member>;

    async fn load(
        app: &App,
        _: Actor,
        keys: Vec<Self::Key>,
    ) -> Result<HashMap<Self::Key, Slice<Member>>> {
        use board_grants::{board_id, granted_at, user_id};
        app.db
            .read(move |conn| {
                let found: Vec<Vec<Member>> = on!(conn, |c| {
                    let queries = keys.iter().map(|(board, page)| {
                        let query = board_grants::table
                            .inner_join(users::table)
                            .filter(board_id.eq(*board))
                            .select((User::as_select(), granted_at))
                            .into_boxed::<DB>();
                        keyset_of_two!(query, *page, Direction::Asc, (granted_at, user_id))
                    });
                    lists::load_each(c, queries.collect())
                })?;
                let slices = keys.into_iter().zip(found).map(|((board, page), found)| {
                    let slice = page.ordered_slice(found, Direction::Asc, |(user, granted)| {
                        (*granted, user.id)
                    });
                    ((board, page), slice)
                });
                Ok(slices.collect())
            })
            .await
    }
}

/// How many users have a grant for boards, up to one more than is told.
pub struct CountOfMembers;

impl Batch for CountOfMembers {
    type Key = BoardId;
    type Value = i64;

    async fn load(app: &App, _: Actor, keys: Vec<BoardId>) -> Result<HashMap<BoardId, i64>> {
        app.db
            .read(move |conn| {
                let counts = on!(conn, |c| {
                    let queries = keys.iter().map(|board| {
                        board_grants::table
                            .filter(board_grants::board_id.eq(*board))
                            .select(board_grants::user_id)
                            .limit(COUNTED + 1)
                            .into_boxed::<DB>()
                    });
                    lists::count_each(c, queries.collect())
                })?;
                Ok(keys.into_iter().zip(counts).collect())
            })
            .await
    }
}
