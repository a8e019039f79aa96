//! What the transports share: authentication, the client's address, and the state of this server's sockets.

mod address;
mod connections;
mod layers;
pub mod listening;
mod origins;
mod params;
mod patient;
mod seats;
mod uploads;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::extract::ConnectInfo;
use futures_util::future::BoxFuture;
use http::{HeaderMap, header, request::Parts};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access::{Actor, Client, RIGHTS_CHANGED, SignedIn},
    app::App,
    budget::Budget,
    clock::Moment,
    counts::Counts,
    error::{Language, Result},
    server::apq::PersistedDocuments,
};

pub use connections::{Admitted, Connections};
pub use layers::{RequestId, layered};
pub use origins::Origins;
#[cfg(any(test, fuzzing))]
pub use params::values;
pub use params::{Params, hold};
pub use seats::{Seat, Seats};
pub use uploads::{Uploading, Uploads};

/// Authenticates tokens. Implemented by accounts.
pub trait Authenticator: Send + Sync + 'static {
    /// The bearer of an HTTP request. Errors: `TOKEN_INVALID`, `TOKEN_EXPIRED`, `BANNED`.
    fn bearer(&self, token: String) -> BoxFuture<'static, Result<Actor>>;

    /// The token of a `connection_init` or a `ping`: an access token, or a subscription token, which is used up. Errors
    /// as for a bearer token.
    fn socket(&self, token: String) -> BoxFuture<'static, Result<SocketRight>>;

    /// Checks the right of a socket again: the user with the current role, or the error that ends the right.
    /// `UNAVAILABLE` ends nothing: it means that the check is impossible at the moment.
    fn again(&self, right: &SocketRight) -> BoxFuture<'static, Result<SignedIn>>;
}

/// What a socket may do, and how long.
#[derive(Clone, Copy, Debug)]
pub struct SocketRight {
    pub actor: SignedIn,
    /// When the access token that opened the socket expires. `None`: it lives as long as the sign-in session.
    pub expires: Option<Moment>,
}

/// The state of the transports of one server. Cheap to clone.
#[derive(Clone)]
pub struct Net(Arc<Shared>);

/// What a [`Net`] holds.
pub struct Shared {
    pub app: App,
    pub authenticator: Arc<dyn Authenticator>,
    pub documents: PersistedDocuments,
    pub origins: Origins,
    pub seats: Seats,
    /// Sockets without a sign-in, by address.
    pub anonymous: Counts<IpAddr>,
    /// Files that users are sending.
    pub uploads: Uploads,
    /// The memory of unread responses.
    pub budget: Budget,
    /// All sockets are tasks here. Shutdown waits for them.
    pub tasks: TaskTracker,
    /// Tells all sockets to close.
    pub shutdown: CancellationToken,
}

impl std::ops::Deref for Net {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Net {
    /// Listens for changed rights from now on, in a task of `tasks` that ends with `shutdown`.
    pub async fn new(
        app: &App,
        authenticator: Arc<dyn Authenticator>,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        let seats = Seats::default();
        let listener = app.bus.listen(&[RIGHTS_CHANGED]).await?;
        let rights = app.clone();
        let forget = move |heard| rights.rights.forget(heard);
        tasks.spawn(
            shutdown
                .clone()
                .run_until_cancelled_owned(seats.clone().listen(listener, forget)),
        );
        tasks.spawn(
            shutdown
                .clone()
                .run_until_cancelled_owned(seats.clone().look(app.clone())),
        );
        Ok(Self(Arc::new(Shared {
            app: app.clone(),
            authenticator,
            documents: PersistedDocuments::default(),
            origins: Origins::of(&app.config),
            seats,
            anonymous: Counts::default(),
            uploads: Uploads::default(),
            budget: Budget::new(&app.config.limits),
            tasks,
            shutdown,
        })))
    }

    /// Where a request comes from. Without a peer, as in a router that is called in process, that is 127.0.0.1.
    #[must_use]
    pub fn client(&self, parts: &Parts) -> Client {
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.0.ip());
        Client {
            address: address::of_client(peer, &parts.headers, &self.app.config.trusted_proxies.0),
            user_agent: text(&parts.headers, header::USER_AGENT),
            request_id: parts
                .extensions
                .get::<RequestId>()
                .map_or_else(RequestId::generate, Clone::clone)
                .0,
            language: text(&parts.headers, header::ACCEPT_LANGUAGE)
                .map_or_else(Language::default, |languages| {
                    Language::negotiate(&languages)
                }),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let value = headers.get(name)?.as_bytes();
    Some(String::from_utf8_lossy(value).into_owned())
}
