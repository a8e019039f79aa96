//! Lists of users.

use diesel::prelude::*;

use crate::{
    access::{Actor, Role, SignedIn},
    accounts::User,
    connection::{COUNTED, Cursors, Direction},
    db::{
        Conn,
        lists::{self, keyset},
        on,
        tables::users,
    },
    error::Result,
    list::{Asked, List},
    text::Prefix,
};

/// A filter for the list of users. The default matches everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserFilter {
    pub name_prefix: Option<Prefix>,
    pub role: Option<Role>,
    pub is_banned: Option<bool>,
}

/// The query of the users in a list, for the backend `$db`.
macro_rules! users_of {
    ($db:ty, $filter:expr) => {{
        let mut query = users::table.into_boxed::<$db>();
        if let Some(prefix) = &$filter.name_prefix {
            let (first, last) = prefix.bounds();
            query = query.filter(users::name_key.between(first, last));
        }
        if let Some(role) = $filter.role {
            query = query.filter(users::role.eq(role));
        }
        if let Some(is_banned) = $filter.is_banned {
            query = query.filter(users::is_banned.eq(is_banned));
        }
        query
    }};
}

/// A list of users, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserList(UserFilter);

impl UserList {
    /// The users who match `filter`.
    ///
    /// # Errors
    /// `FORBIDDEN` for users other than admins who ask for roles or bans.
    pub fn new(actor: &SignedIn, filter: UserFilter) -> Result<Self> {
        if filter.role.is_some() || filter.is_banned.is_some() {
            actor.admin()?;
        }
        Ok(Self(filter))
    }
}

impl List for UserList {
    type Item = User;
    type Key = String;

    fn cursors(&self) -> Cursors {
        Cursors::Users
    }

    fn direction(&self) -> Direction {
        Direction::Asc
    }

    fn key(&self, user: &User) -> String {
        user.name.key.clone()
    }

    fn read(conn: &mut Conn, _: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<User>>> {
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = users_of!(DB, list.0).select(User::as_select());
                keyset!(query, *page, list.direction(), users::name_key)
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, _: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists
                .iter()
                .map(|list| users_of!(DB, list.0).select(users::id).limit(COUNTED + 1));
            lists::count_each(c, queries.collect())
        })?)
    }
}
