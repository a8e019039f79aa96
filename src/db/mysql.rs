//! MySQL and MariaDB through the pure-Rust driver: a pool of connections, each used on a thread that may block.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deadpool::managed::Metrics;
use diesel::{
    connection::{Connection, TransactionManager},
    result::{DatabaseErrorKind, Error as DieselError},
};
use diesel_async::{
    AsyncConnection, AsyncMysqlConnection, SimpleAsyncConnection,
    async_connection_wrapper::AsyncConnectionWrapper,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Hook, HookError, Object, Pool},
    },
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Conn, KEPT, Kept, Statements, UNAVAILABLE,
    migrations::{self, Action, Migration},
    patience::{Patient, within},
    sqlite::run_guarded,
};
use crate::{
    config::{Config, Fault},
    error::{Cause, Error, Result},
};

/// A connection of the pool, with diesel's blocking interface.
pub type MysqlConnection = AsyncConnectionWrapper<Object<AsyncMysqlConnection>, Patient>;

/// How long an operation waits for one of them before it is `UNAVAILABLE`.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// How often a transaction is tried that the engine aborts because of a conflict with another.
const ATTEMPTS: u32 = 5;
/// A connection that was not used for this long is asked whether it still stands: engines and firewalls close idle ones.
const IDLE: Duration = Duration::from_secs(1);
/// How long a connection may take to answer that.
const PING_TIME: Duration = Duration::from_secs(2);
/// The engine itself stops a statement at the limit of a request. If it has not said so after this much more, it does not
/// answer at all.
const GRACE: Duration = Duration::from_secs(2);

/// Of what the pool asks before a connection is used again.
type HookResult = Result<(), HookError>;

/// Connections that were made before this are not used again. It is when one was last found broken, since whatever broke it
/// has most likely broken them all; or when they kept too many statements prepared, which end with them. Cheap to clone.
#[derive(Clone, Default)]
struct Renewed(Arc<Mutex<Option<Instant>>>);

impl Renewed {
    fn renew(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    fn is_old(&self, made: Instant) -> bool {
        self.0.lock().is_some_and(|at| made <= at)
    }
}

pub(super) struct Mysql {
    pool: Pool<AsyncMysqlConnection>,
    renewed: Renewed,
    /// Statements that all connections keep prepared.
    kept: Kept,
    /// The most of these.
    most_kept: usize,
    /// How long to wait for the answer to a statement.
    patience: Duration,
    statements: Statements,
}

impl Mysql {
    /// Connects and brings the tables up to date.
    pub(super) async fn open(config: &Config, statements: &Statements) -> Result<Self, Fault> {
        let mysql = Self::connect(config, statements)?;
        mysql.migrate(Action::Up).await?;
        Ok(mysql)
    }

    /// Makes a pool, whose connections are made when they are needed.
    pub(super) fn connect(config: &Config, statements: &Statements) -> Result<Self, Fault> {
        let limit = config.limits.request_time;
        let mut manager = ManagerConfig::default();
        // A ping at each check-out would double the round trips of a point read.
        manager.recycling_method = RecyclingMethod::Fast;
        manager.custom_setup = Box::new(move |url| {
            let url = url.to_owned();
            async move {
                let mut conn = AsyncMysqlConnection::establish(&url).await?;
                conn.batch_execute(&session_settings(limit))
                    .await
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(conn)
            }
            .boxed()
        });
        let manager =
            AsyncDieselConnectionManager::new_with_config(config.database_url.expose(), manager);
        let renewed = Renewed::default();
        let of_pool = renewed.clone();
        let pool = Pool::builder(manager)
            .max_size(config.limits.database_connections)
            .runtime(deadpool::Runtime::Tokio1)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(POOL_WAIT))
            .pre_recycle(Hook::async_fn(move |conn, metrics| {
                still_stands(conn, *metrics, of_pool.clone()).boxed()
            }))
            .build()
            .map_err(|e| fault(e.to_string()))?;
        Ok(Self {
            pool,
            renewed,
            kept: Kept::default(),
            most_kept: config.limits.database_connections * KEPT,
            patience: limit + GRACE,
            statements: statements.clone(),
        })
    }

    /// Does this about migrations.
    pub(super) async fn migrate(&self, action: Action) -> Result<Vec<Migration>, Fault> {
        let conn = self.pool.get().await.map_err(|e| fault(sentence(&e)))?;
        let migrated = tokio::task::spawn_blocking(move || {
            let mut conn = MysqlConnection::from(conn);
            let done = migrations::run_mysql(&mut conn, action);
            // Its settings differ from those of the pool.
            drop(Object::take(conn.into_inner()));
            done
        });
        let migrated = migrated.await.map_err(|e| fault(e.to_string()))?;
        migrated.map_err(|e| fault(format!("the database cannot be used: {e}")))
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.with_connection(move |conn| work(conn)).await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let patience = self.patience;
        let written = self.with_connection(move |conn| {
            let began = Instant::now();
            let mut attempt = 1;
            loop {
                match transact(conn, &work) {
                    Err(Error::Internal(cause))
                        if is_conflict(&cause)
                            && attempt < ATTEMPTS
                            && began.elapsed() < patience =>
                    {
                        attempt += 1;
                    }
                    done => return done,
                }
            }
        });
        match written.await {
            // Others may be luckier later. The connection is not to blame.
            Err(Error::Internal(cause)) if is_conflict(&cause) => {
                tracing::warn!(%cause, "a transaction is given up");
                Err(UNAVAILABLE)
            }
            written => written,
        }
    }

    async fn with_connection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let conn = self.pool.get().await.map_err(|error| {
            tracing::warn!(%error, "no connection to the database");
            UNAVAILABLE
        })?;
        let mut conn = MysqlConnection::from(conn);
        self.statements.watch(&mut conn, &self.kept);
        if self.kept.is_full(self.most_kept) {
            self.renewed.renew();
        }
        let (reply, answer) = oneshot::channel();
        let (renewed, patience) = (self.renewed.clone(), self.patience);
        tokio::task::spawn_blocking(move || {
            if reply.is_closed() {
                return;
            }
            let mut conn = Conn::Mysql(conn);
            let done = within(patience, || work(&mut conn));
            if matches!(done, Err(Error::Timeout)) {
                tracing::warn!("the database has stopped a statement that took too long");
            }
            if let (Err(Error::Unavailable { .. }), Conn::Mysql(conn)) = (&done, conn) {
                // It must not return to the pool.
                renewed.renew();
                drop(Object::take(conn.into_inner()));
            }
            let _ = reply.send(done);
        });
        answer.await.map_err(|_| UNAVAILABLE)?
    }
}

/// Whether a connection can be used again: one that was idle is asked. The pool makes another in place of one that cannot.
async fn still_stands(
    conn: &mut AsyncMysqlConnection,
    metrics: Metrics,
    renewed: Renewed,
) -> HookResult {
    if renewed.is_old(metrics.created) {
        return Err(HookError::message("it is renewed"));
    }
    if metrics.last_used() < IDLE {
        return Ok(());
    }
    let ping = tokio::time::timeout(PING_TIME, conn.batch_execute("DO 1"));
    if matches!(ping.await, Ok(Ok(()))) {
        return Ok(());
    }
    renewed.renew();
    Err(HookError::message("it was closed, or does not answer"))
}

fn fault(sentence: impl Into<String>) -> Fault {
    Fault::new("DATABASE_URL", sentence)
}

/// Why the database cannot be used, and what helps.
fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    if text.contains("Access denied") {
        "refuses the user or the password, or lets this user not into this database".to_owned()
    } else if text.contains("Unknown database") {
        "has no such database: CREATE DATABASE … CHARACTER SET utf8mb4 COLLATE utf8mb4_bin makes it"
            .to_owned()
    } else {
        format!("cannot be reached: is the server running, and is the address right? ({text})")
    }
}

/// READ COMMITTED, since stores lock the rows they rely on; strict mode, so that no value is cut silently; error
/// messages in English, which the code matches; a limit on a statement's time, so that none outlives its request.
/// MariaDB and MySQL name that last setting differently, hence the comments that only one of them executes: `/*M! … */`
/// is MariaDB's, which skips `/*!50708 … */`. MySQL limits only reads this way; its writes can wait for locks alone, of
/// rows and of tables (while a migration changes one), and these waits are limited on both.
fn session_settings(limit: Duration) -> String {
    let (seconds, millis) = (limit.as_secs_f64(), limit.as_millis());
    let whole_seconds = limit.as_secs().max(1);
    format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO', \
         lc_messages = 'en_US', innodb_lock_wait_timeout = 5, lock_wait_timeout = {whole_seconds} \
         /*M! , max_statement_time = {seconds} */ \
         /*!50708 , max_execution_time = {millis} */; \
         SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
    )
}

fn transact<T>(conn: &mut Conn, work: &impl Fn(&mut Conn) -> Result<T>) -> Result<T> {
    type Manager = <MysqlConnection as Connection>::TransactionManager;
    fn inner(conn: &mut Conn) -> Result<&mut MysqlConnection> {
        match conn {
            Conn::Mysql(conn) => Ok(conn),
            Conn::Sqlite(_) => Err(UNAVAILABLE),
        }
    }
    Manager::begin_transaction(inner(conn)?)?;
    match run_guarded(|| work(conn)) {
        Ok(value) => {
            Manager::commit_transaction(inner(conn)?)?;
            Ok(value)
        }
        Err(error) => {
            if let Err(rollback) = Manager::rollback_transaction(inner(conn)?) {
                tracing::warn!(error = %rollback, "a rollback failed; the connection is given up");
            }
            Err(error)
        }
    }
}

/// Deadlocks (1213) and lock wait timeouts (1205): the engine advises to try again.
fn is_conflict(cause: &Cause) -> bool {
    match cause.downcast_ref::<DieselError>() {
        Some(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => true,
        Some(DieselError::DatabaseError(_, info)) => {
            info.message().contains("Deadlock found")
                || info.message().contains("Lock wait timeout")
        }
        _ => false,
    }
}
