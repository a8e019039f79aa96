//! The networks that accounts have signed in from.

use std::time::Duration;

use diesel::prelude::*;

use crate::{
    app::App,
    clock::Timestamp,
    db::{Conn, on, tables::sign_in_addresses},
    error::Result,
    ids::UserId,
};

/// How long an address is remembered.
const REMEMBERED: Duration = Duration::from_secs(90 * 86_400);

/// Whether `user` has signed in from `network` in the last 90 days.
///
/// # Errors
/// Those of the database.
pub(super) async fn is_known(app: &App, user: UserId, network: String) -> Result<bool> {
    let since = app.clock.now().before(REMEMBERED);
    app.db
        .read(move |conn| {
            let at: Option<Timestamp> = on!(conn, |c| {
                sign_in_addresses::table
                    .find((user, &network))
                    .select(sign_in_addresses::signed_in_at)
                    .get_result(c)
                    .optional()
            })?;
            Ok(at.is_some_and(|at| at > since))
        })
        .await
}

/// Notes that `user` has signed in from `network`. The caller holds the user's row.
///
/// # Errors
/// Those of the database.
pub(super) fn remember(conn: &mut Conn, user: UserId, network: &str, now: Timestamp) -> Result<()> {
    use sign_in_addresses as addresses;
    let replaced = addresses::user_id.eq(user).and(
        addresses::network
            .eq(network)
            .or(addresses::signed_in_at.le(now.before(REMEMBERED))),
    );
    let row = (
        addresses::user_id.eq(user),
        addresses::network.eq(network),
        addresses::signed_in_at.eq(now),
    );
    on!(conn, |c| {
        diesel::delete(addresses::table.filter(replaced)).execute(c)?;
        diesel::insert_into(addresses::table).values(row).execute(c)
    })?;
    Ok(())
}

/// Deletes up to `limit` networks that are no longer remembered, and returns how many.
///
/// # Errors
/// Those of the database.
pub(super) fn forget(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<usize> {
    use sign_in_addresses as addresses;
    let old: Vec<(UserId, String)> = on!(conn, |c| addresses::table
        .filter(addresses::signed_in_at.le(now.before(REMEMBERED)))
        .select((addresses::user_id, addresses::network))
        .limit(limit)
        .load(c))?;
    for (user, network) in &old {
        on!(conn, |c| diesel::delete(
            addresses::table.find((user, network))
        )
        .execute(c))?;
    }
    Ok(old.len())
}
