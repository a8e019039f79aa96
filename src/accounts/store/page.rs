//! Lists of users.

use std::collections::HashMap;

use diesel::prelude::*;

use crate::{
    access::{Actor, Role, SignedIn},
    accounts::User,
    app::App,
    connection::{COUNTED, Direction, Page, Slice},
    db::{
        lists::{self, keyset},
        on,
        tables::users,
    },
    error::{Error, Result},
    loader::Batch,
};

/// What narrows the list of users down. Empty: everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserFilter {
    /// Begins the name's key; see [`crate::text::prefix`].
    pub name_prefix: Option<String>,
    pub role: Option<Role>,
    pub is_banned: Option<bool>,
}

/// The query of the users in a list, for the backend `$db`.
macro_rules! users_of {
    ($db:ty, $filter:expr) => {{
        let mut query = users::table.into_boxed::<$db>();
        if let Some(prefix) = &$filter.name_prefix {
            let end = format!("{prefix}\u{10ffff}");
            query = query.filter(users::name_key.between(prefix, end));
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

/// Users by name.
///
/// # Errors
/// `FORBIDDEN` for who asks for roles or bans without being an admin.
pub async fn page(
    app: &App,
    actor: &SignedIn,
    filter: UserFilter,
    page: Page<String>,
) -> Result<Slice<User>> {
    if (filter.role.is_some() || filter.is_banned.is_some()) && !actor.is_admin() {
        return Err(Error::Forbidden);
    }
    app.db
        .read(move |conn| {
            let found: Vec<User> = on!(conn, |c| {
                let query = users_of!(DB, filter).select(User::as_select());
                keyset!(query, page, Direction::Asc, users::name_key).load(c)
            })?;
            Ok(page.slice(found))
        })
        .await
}

/// How many users lists have, up to one more than is told. That the actor may ask has been seen to.
pub struct CountOfUsers;

impl Batch for CountOfUsers {
    type Key = UserFilter;
    type Value = i64;

    async fn load(app: &App, _: Actor, keys: Vec<UserFilter>) -> Result<HashMap<UserFilter, i64>> {
        app.db
            .read(move |conn| {
                let counts = on!(conn, |c| {
                    let queries = keys
                        .iter()
                        .map(|filter| users_of!(DB, filter).select(users::id).limit(COUNTED + 1));
                    lists::count_each(c, queries.collect())
                })?;
                Ok(keys.into_iter().zip(counts).collect())
            })
            .await
    }
}
