//! The table for what a restart must not forget: fences, which are written at once, and what still lives at an orderly
//! stop.

use std::time::Duration;

use diesel::prelude::*;

use super::memory::Value;
use crate::{
    clock::Timestamp,
    db::{Conn, Db, on, tables::cache_entries},
    error::Result,
};

/// An entry and how long it still lives.
pub(super) struct Kept {
    pub name: String,
    pub value: Value,
    pub remains: Duration,
}

/// The most entries that are saved, since a stop must not take long.
const MOST: usize = 20_000;
/// Rows in one transaction.
const BATCH: usize = 500;
/// Longer names have no place in an index of MySQL.
const LONGEST_NAME: usize = 700;

const COUNT: i16 = 0;
const BYTES: i16 = 1;
const CLAIM: i16 = 2;
const FENCE: i16 = 3;

#[derive(Insertable, Queryable)]
#[diesel(table_name = cache_entries)]
struct Row {
    name: String,
    kind: i16,
    number: i64,
    value: Option<Vec<u8>>,
    expires_at: Option<Timestamp>,
}

/// The next fence of `name`: greater than all before, also than those before a restart.
pub(super) async fn next_fence(db: &Db, name: String) -> Result<u64> {
    let fence: i64 = db
        .write(move |conn| {
            let of_name = cache_entries::table.find(&name);
            let raised = on!(conn, |c| diesel::update(of_name)
                .set(cache_entries::number.eq(cache_entries::number + 1))
                .execute(c))?;
            if raised == 0 {
                insert(conn, &fence_of(name.clone()))?;
            }
            Ok(on!(conn, |c| of_name
                .select(cache_entries::number)
                .get_result(c))?)
        })
        .await?;
    Ok(u64::try_from(fence).unwrap_or(0))
}

fn fence_of(name: String) -> Row {
    Row {
        name,
        kind: FENCE,
        number: 1,
        value: None,
        expires_at: None,
    }
}

fn insert(conn: &mut Conn, row: &Row) -> Result<()> {
    on!(conn, |c| diesel::insert_into(cache_entries::table)
        .values(row)
        .execute(c))?;
    Ok(())
}

/// Saves entries: counters and values first, claims as long as there is room.
pub(super) async fn save(db: &Db, now: Timestamp, mut entries: Vec<Kept>) -> Result<()> {
    entries.sort_by_key(|kept| matches!(kept.value, Value::Claim));
    let rows = entries.into_iter().filter_map(|kept| row(kept, now));
    let rows: Vec<_> = rows.take(MOST).collect();
    let mut rows = rows.into_iter();
    loop {
        let batch: Vec<_> = rows.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        db.write(move |conn| {
            let names: Vec<_> = batch.iter().map(|row| &row.name).collect();
            // Of a server that used the same database at the same time.
            on!(conn, |c| diesel::delete(
                cache_entries::table.filter(cache_entries::name.eq_any(&names))
            )
            .execute(c))?;
            batch.iter().try_for_each(|row| insert(conn, row))
        })
        .await?;
    }
}

fn row(kept: Kept, now: Timestamp) -> Option<Row> {
    let (kind, number, value) = match kept.value {
        Value::Count(count) => (COUNT, i64::try_from(count).ok()?, None),
        Value::Bytes(bytes) => (BYTES, 0, Some(bytes)),
        Value::Claim => (CLAIM, 0, None),
        // Its holder ends with this process.
        Value::Lock(_) => return None,
    };
    (kept.name.chars().count() <= LONGEST_NAME).then_some(Row {
        name: kept.name,
        kind,
        number,
        value,
        expires_at: Some(now.after(kept.remains)),
    })
}

/// Removes and returns the saved entries that have not expired. Each comes back once: a token that is used after that
/// must not come back after a crash.
pub(super) async fn take(db: &Db, now: Timestamp) -> Result<Vec<Kept>> {
    let rows: Vec<Row> = db
        .write(|conn| {
            let saved = cache_entries::kind.ne(FENCE);
            let rows: Vec<Row> = on!(conn, |c| cache_entries::table.filter(saved).load(c))?;
            if !rows.is_empty() {
                on!(conn, |c| diesel::delete(cache_entries::table.filter(saved))
                    .execute(c))?;
            }
            Ok(rows)
        })
        .await?;
    let kept = rows.into_iter().filter_map(|row| {
        let ends = row.expires_at.filter(|ends| *ends > now)?;
        let value = match row.kind {
            COUNT => Value::Count(u64::try_from(row.number).ok()?),
            BYTES => Value::Bytes(row.value?),
            CLAIM => Value::Claim,
            _ => return None,
        };
        Some(Kept {
            name: row.name,
            value,
            remains: ends.since(now),
        })
    });
    Ok(kept.collect())
}
