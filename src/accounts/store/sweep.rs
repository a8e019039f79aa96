//! Deletes what has expired, a batch at a time, so that no transaction is long.

use diesel::prelude::*;

use super::addresses;
use crate::{
    clock::Timestamp,
    db::{
        Conn, on,
        tables::{refresh_tokens, sign_in_sessions},
    },
    error::Result,
    ids::SignInId,
};

/// Rows in one transaction.
const BATCH: i64 = 500;

/// Deletes some rows that have expired at this time, and returns how many.
type Step = fn(&mut Conn, Timestamp) -> Result<usize>;

/// Each is repeated until it deletes nothing more.
pub const STEPS: [Step; 3] = [sessions, tokens, |conn, now| {
    addresses::forget(conn, now, BATCH)
}];

fn sessions(conn: &mut Conn, now: Timestamp) -> Result<usize> {
    let expired: Vec<SignInId> = on!(conn, |c| sign_in_sessions::table
        .filter(sign_in_sessions::expires_at.le(now))
        .select(sign_in_sessions::id)
        .limit(BATCH)
        .load(c))?;
    Ok(on!(conn, |c| diesel::delete(
        sign_in_sessions::table.filter(sign_in_sessions::id.eq_any(&expired))
    )
    .execute(c))?)
}

fn tokens(conn: &mut Conn, now: Timestamp) -> Result<usize> {
    let expired: Vec<Vec<u8>> = on!(conn, |c| refresh_tokens::table
        .filter(refresh_tokens::expires_at.le(now))
        .select(refresh_tokens::hash)
        .limit(BATCH)
        .load(c))?;
    Ok(on!(conn, |c| diesel::delete(
        refresh_tokens::table.filter(refresh_tokens::hash.eq_any(&expired))
    )
    .execute(c))?)
}
