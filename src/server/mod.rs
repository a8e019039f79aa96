//! Assembly: the schema, the engine that runs it, and the transports, on one address.

pub mod apq;
pub mod execution;
pub mod http;
pub mod kinds;
pub mod net;
pub mod pages;
mod rights;
pub mod schema;
pub mod socket;
pub mod worker;

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::Router;
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    execution::{Engine, Execution},
    net::Net,
    pages::Pages,
    rights::Accounts,
    worker::{JOBS_AT_ONCE, Worker},
};
use crate::{
    app::App,
    budget::Budget,
    chat,
    clock::Clock,
    config::{Config, Fault},
    error::Result,
    posts::store::views,
    work::Place,
};

/// How long running requests may go on after the signal to stop.
const FAREWELL: Duration = Duration::from_secs(15);

/// A server, listening or not. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    app: App,
    router: Router,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    budget: Budget,
}

impl Server {
    /// Builds a server. It listens to the bus from now on, in tasks that end with the server.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the bus does not work.
    pub async fn new(app: App) -> Result<Self> {
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let accounts = Arc::new(Accounts::new(app.clone()));
        let net = Net::new(&app, accounts.clone(), tasks.clone(), shutdown.clone()).await?;

        let schema = schema::build(Execution);
        let pages = Pages {
            sdl: app
                .config
                .introspection
                .is_on()
                .then(|| schema::sdl(&schema).into()),
            graphiql: app.config.graphiql.is_on(),
            ready: ready_check(app.clone()),
            shutdown: shutdown.clone(),
        };
        let engine = Engine::new(schema, app.clone(), accounts, chat::graphql::SHAREABLE);
        let routes = http::routes(net.clone(), engine)
            .merge(http::files::routes(net.clone()))
            .merge(pages::routes(pages));
        let router = net::layered(routes, &net.origins);
        Ok(Self {
            app,
            router,
            tasks,
            shutdown,
            budget: net.budget.clone(),
        })
    }

    /// The router, to be called in process or served.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Starts as many workers as WORKERS says. If that is none, what can run only here still does.
    fn start_workers(&self) {
        let kinds = Arc::new(kinds::kinds());
        let start = |is_wanted: fn(Place) -> bool| {
            let app = self.app.clone();
            let worker = Worker::new(app, Arc::clone(&kinds), is_wanted, JOBS_AT_ONCE);
            self.tasks.spawn(worker.run(self.shutdown.clone()));
        };
        for _ in 0..self.app.config.workers {
            start(|_| true);
        }
        if self.app.config.workers == 0 && self.app.cache.is_in_process() {
            start(|place| place == Place::AtTheCache);
        }
    }

    /// Starts the shutdown.
    pub fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Bytes of answers that nobody has read yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.budget.held()
    }

    /// Serves until [`Server::stop`]. Then it accepts nothing new and gives running requests some time to finish.
    pub async fn run(self, listener: TcpListener) {
        let config = &self.app.config;
        let is_done =
            net::listening::serve(listener, self.router, config, &self.shutdown, FAREWELL);
        if !is_done.await {
            tracing::warn!("some requests were still running and are cut off");
        }
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("some sockets were still open and are cut off");
        }
        // No request runs any more, so these are the last ones.
        flush_views(&self.app).await;
        if let Err(error) = self.app.cache.save().await {
            tracing::warn!(%error, "rates and tokens could not be saved for the next start");
        }
    }
}

/// Opens all ports and serves until the process is told to stop.
///
/// # Errors
/// The setting that does not work.
pub async fn serve(config: Config, clock: Clock) -> Result<(), Fault> {
    let bind = config.bind;
    let app = App::open(config, clock).await?;
    for warning in app.warnings().await {
        tracing::warn!("{warning}");
    }
    if let Err(error) = app.cache.restore().await {
        tracing::warn!(%error, "rates and tokens of the last run could not be read");
    }
    let cannot_listen =
        |e: std::io::Error| Fault::new("BIND", format!("cannot listen on {bind}: {e}"));
    let listener = TcpListener::bind(bind).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let server = Server::new(app)
        .await
        .map_err(|_| Fault::new("REDIS_URL", "does not answer"))?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    welcome(&server.app.config, address);
    server.start_workers();
    stop_on_signal(&server.tasks, &server.shutdown);
    server.run(listener).await;
    Ok(())
}

/// Opens all ports and runs jobs until the process is told to stop.
///
/// # Errors
/// The setting that does not work.
pub async fn work(config: Config, clock: Clock) -> Result<(), Fault> {
    let app = App::open(config, clock).await?;
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let is_cache_here = !app.cache.is_in_process();
    let is_wanted = |place| place == Place::Anywhere || is_cache_here;
    let kinds = Arc::new(kinds::kinds());
    for _ in 0..app.config.workers.max(1) {
        let worker = Worker::new(app.clone(), Arc::clone(&kinds), is_wanted, JOBS_AT_ONCE);
        tasks.spawn(worker.run(shutdown.clone()));
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "working");
    stop_on_signal(&tasks, &shutdown);
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn stop_on_signal(tasks: &TaskTracker, shutdown: &CancellationToken) {
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        stop_signal().await;
        tracing::info!("stopping");
        shutdown.cancel();
    });
}

/// The printed schema of this program.
#[must_use]
pub fn sdl() -> String {
    schema::sdl(&schema::build(Execution))
}

/// On a terminal, prints the address for a browser.
fn welcome(config: &Config, address: SocketAddr) {
    let mut terminal = std::io::stdout();
    if !terminal.is_terminal() {
        return;
    }
    let page = if config.graphiql.is_on() {
        "graphiql"
    } else {
        "graphql"
    };
    // Failures do not matter.
    let _ = writeln!(
        terminal,
        "\n  madang is at http://{address}/{page}\n  Ctrl+C stops it.\n"
    );
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c().map(|_| ());
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                () = interrupt => {}
                _ = terminate.recv() => {}
            };
        }
    }
    interrupt.await;
}

async fn flush_views(app: &App) {
    if let Err(error) = views::flush(app).await {
        tracing::warn!(%error, "views could not be written");
    }
}

fn ready_check(app: App) -> pages::ReadyCheck {
    Arc::new(move || {
        let app = app.clone();
        async move { app.backends().await }.boxed()
    })
}
