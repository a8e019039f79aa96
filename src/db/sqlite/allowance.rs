//! What one read may take. SQLite calls a progress handler while a statement runs, which stops the statement when its
//! read has used up its allowance.
//!
//! diesel gives no access to its handle, so the handler is installed by an automatic extension, which SQLite calls for
//! each new connection. The handler looks at the thread that runs the statement.

#![allow(unsafe_code, reason = "the only calls to SQLite beside diesel")]

use std::{
    cell::RefCell,
    ffi::{c_char, c_int, c_void},
    ptr,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use libsqlite3_sys as ffi;

/// How many instructions of SQLite's virtual machine make a step: some 30 µs.
const STEP: c_int = 1_000;

/// The steps of a read on a thread of the runtime, some 5 ms. They do not depend on the load of the machine.
const QUICK_STEPS: u64 = 200;
/// The steps of an attempt: a page of posts takes three.
const SHORT_STEPS: u64 = 30;
/// The time of such a read, since some instructions, such as those of a full text search, take long.
const QUICK_TIME: Duration = Duration::from_millis(50);

/// What a read may take.
#[derive(Clone)]
pub(crate) struct Allowance {
    steps: u64,
    until: Instant,
    is_given_up: Option<Arc<AtomicBool>>,
}

impl Allowance {
    /// For a read that keeps other work from its thread.
    pub(crate) fn quick() -> Self {
        Self {
            steps: QUICK_STEPS,
            until: Instant::now() + QUICK_TIME,
            is_given_up: None,
        }
    }

    /// For a part of a read that can be done in another way.
    pub(crate) fn short() -> Self {
        Self {
            steps: SHORT_STEPS,
            ..Self::quick()
        }
    }

    /// As long as `limit`, unless the caller gives up earlier.
    pub(crate) fn long(limit: Duration, caller: &Caller) -> Self {
        Self {
            steps: u64::MAX,
            until: Instant::now() + limit,
            is_given_up: Some(Arc::clone(&caller.0)),
        }
    }

    fn take_step(&mut self) -> bool {
        self.steps = self.steps.saturating_sub(1);
        let is_given_up = self.is_given_up.as_ref();
        self.steps > 0
            && !is_given_up.is_some_and(|gone| gone.load(Ordering::Relaxed))
            && Instant::now() < self.until
    }
}

/// Who waits for a read. The read is stopped when this is dropped.
#[derive(Default)]
pub(crate) struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `work`, whose statements are stopped when the allowance is used up. Returns whether they were.
pub(crate) fn within<T>(allowance: Allowance, work: impl FnOnce() -> T) -> (T, bool) {
    let before = READ.replace(Some((allowance, false)));
    let done = work();
    let is_stopped = READ.replace(before).is_some_and(|(_, stopped)| stopped);
    (done, is_stopped)
}

thread_local! {
    /// What the read on this thread has left, and whether it was stopped. Writes have no limit.
    static READ: RefCell<Option<(Allowance, bool)>> = const { RefCell::new(None) };
}

/// Limits all connections that are opened from now on.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: `watch` has the type that SQLite calls, and lives as long as the program.
        let code = unsafe { ffi::sqlite3_auto_extension(Some(watch)) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite has no memory to start with");
    });
}

unsafe extern "C" fn watch(
    db: *mut ffi::sqlite3,
    _: *mut *mut c_char,
    _: *const ffi::sqlite3_api_routines,
) -> c_int {
    // SAFETY: SQLite passes the connection that it opens. The handler uses no pointer.
    unsafe { ffi::sqlite3_progress_handler(db, STEP, Some(step), ptr::null_mut()) };
    ffi::SQLITE_OK
}

/// Stops the statement unless this returns zero. It must not unwind.
extern "C" fn step(_: *mut c_void) -> c_int {
    let stop = READ.try_with(|read| match read.try_borrow_mut().as_deref_mut() {
        Ok(Some((allowance, is_stopped))) => {
            *is_stopped = *is_stopped || !allowance.take_step();
            *is_stopped
        }
        _ => false,
    });
    c_int::from(stop.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use diesel::{
        QueryResult, RunQueryDsl, connection::SimpleConnection, sqlite::SqliteConnection,
    };

    use super::*;
    use crate::db::sqlite::connect;

    const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                           SELECT 1 FROM n WHERE i < 0";

    fn run(conn: &mut SqliteConnection, sql: &str) -> QueryResult<usize> {
        diesel::sql_query(sql).execute(conn)
    }

    #[test]
    fn a_statement_without_an_end_is_stopped_by_steps_by_time_and_when_its_caller_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = connect(&folder.path().join("db"), "").unwrap();
        let caller = Caller::default();
        let gone = Allowance::long(Duration::from_secs(3_600), &Caller::default());
        let short = Allowance::long(Duration::from_millis(10), &caller);

        for allowance in [Allowance::quick(), short, gone] {
            let (done, is_stopped) = within(allowance, || run(&mut conn, ENDLESS));
            assert!(is_stopped && done.unwrap_err().to_string() == "interrupted");
            assert!(
                run(&mut conn, "SELECT 1").is_ok(),
                "the connection works on"
            );
        }
    }

    #[test]
    fn once_stopped_all_further_statements_of_the_read_are_and_none_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = connect(&folder.path().join("db"), "").unwrap();
        let long = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) \
                    SELECT count(*) FROM n";

        let ((first, second), is_stopped) = within(Allowance::quick(), || {
            (run(&mut conn, ENDLESS), run(&mut conn, long))
        });

        assert!(is_stopped && first.is_err() && second.is_err());
        conn.batch_execute(long).unwrap();
    }
}
