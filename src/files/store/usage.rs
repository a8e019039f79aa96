//! How many bytes the files of a user take.

use diesel::prelude::*;

use crate::{
    db::{Conn, on, tables::file_usage},
    error::{Error, Result},
    ids::UserId,
};

/// Counts `bytes` for `user`, and locks the count until the transaction ends.
///
/// # Errors
/// `LIMIT_EXCEEDED` when it would be more than `most`.
pub fn take(conn: &mut Conn, user: UserId, bytes: i64, most: u64) -> Result<()> {
    let none = (file_usage::user_id.eq(user), file_usage::bytes.eq(0));
    on!(conn, |c| diesel::insert_or_ignore_into(file_usage::table)
        .values(none)
        .execute(c))?;
    let before = i64::try_from(most)
        .unwrap_or(i64::MAX)
        .saturating_sub(bytes);
    let fits = file_usage::table
        .find(user)
        .filter(file_usage::bytes.le(before));
    let taken = on!(conn, |c| diesel::update(fits)
        .set(file_usage::bytes.eq(file_usage::bytes + bytes))
        .execute(c))?;
    if taken == 0 { Err(over(most)) } else { Ok(()) }
}

/// Whether `bytes` more fit, as it looks now.
///
/// # Errors
/// As [`take`].
pub fn check(conn: &mut Conn, user: UserId, bytes: u64, most: u64) -> Result<()> {
    let used: Option<i64> = on!(conn, |c| file_usage::table
        .find(user)
        .select(file_usage::bytes)
        .first(c)
        .optional())?;
    let used = u64::try_from(used.unwrap_or_default()).unwrap_or_default();
    if used.saturating_add(bytes) > most {
        return Err(over(most));
    }
    Ok(())
}

/// Counts a file no more.
pub fn give_back(conn: &mut Conn, owner: Option<UserId>, bytes: i64) -> Result<()> {
    if let Some(owner) = owner {
        on!(conn, |c| diesel::update(file_usage::table.find(owner))
            .set(file_usage::bytes.eq(file_usage::bytes - bytes))
            .execute(c))?;
    }
    Ok(())
}

fn over(most: u64) -> Error {
    Error::LimitExceeded {
        what: "bytes of files",
        limit: most,
    }
}
