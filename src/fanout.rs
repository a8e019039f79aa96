//! Fan-out: what many subscribers get is executed once, and the same bytes go to all of them.
//!
//! Subscribers have the same [`Shape`] when they select the same fields with the same variables, and when their view is
//! the same. A document that selects anything which depends on its viewer has no shape, and is executed for each
//! subscriber.

use std::{any::Any, fmt, hash, sync::Arc};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use parking_lot::Mutex;

use crate::error::{Language, Result};

/// Which documents have a shape: those that subscribe to `field` and select nothing but `fields`.
#[derive(Clone, Copy, Debug)]
pub struct Shareable {
    /// A root field of subscriptions.
    pub field: &'static str,
    /// Its argument that says where to go on. It concerns only the beginning, and not the shape.
    pub cursor: &'static str,
    /// Fields that are the same for all viewers, by type.
    pub fields: &'static [(&'static str, &'static [&'static str])],
}

impl Shareable {
    /// Whether the field `name` of the type `parent` is the same for all viewers.
    #[must_use]
    pub fn has(&self, parent: &str, name: &str) -> bool {
        name == "__typename"
            || self
                .fields
                .iter()
                .any(|(ty, fields)| *ty == parent && fields.contains(&name))
    }
}

/// An event to be executed: what the resolver of the root field gets instead of subscribing.
#[derive(Clone)]
pub struct Given(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given")
    }
}

type Render = dyn Fn(Given) -> BoxFuture<'static, Bytes> + Send + Sync;

/// What the same bytes can be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The address of the operation, which the renderer keeps in its place.
    pub operation: usize,
    /// The variables, without the cursor.
    pub variables: String,
    pub is_admin: bool,
    pub language: Language,
}

/// How subscribers want events.
#[derive(Clone)]
pub struct Shape {
    key: Key,
    render: Arc<Render>,
}

impl Shape {
    /// The shape with this key. `render` executes an event and returns the response as JSON.
    pub fn new(
        key: Key,
        render: impl Fn(Given) -> BoxFuture<'static, Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self {
            key,
            render: Arc::new(render),
        }
    }

    /// The response for an event, as JSON.
    pub async fn render(&self, event: Given) -> Bytes {
        (self.render)(event).await
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Shape {}
impl hash::Hash for Shape {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// What a subscriber gets next.
#[derive(Debug)]
pub enum Piece {
    /// An event that is executed for this subscriber.
    Own(Given),
    /// The response that all subscribers of the shape get.
    Rendered(Bytes),
}

/// What a subscriber gets.
pub type Pieces = BoxStream<'static, Result<Piece>>;

/// The offer to a resolver to hand its events over instead of returning them. The engine adds it to requests that have
/// a shape.
pub struct Offer {
    pub shape: Shape,
    handed: Mutex<Option<Pieces>>,
}

impl Offer {
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self {
            shape,
            handed: Mutex::new(None),
        }
    }

    /// Hands the events over. The resolver returns a stream that ends at once.
    pub fn accept(&self, pieces: Pieces) {
        *self.handed.lock() = Some(pieces);
    }

    /// What was handed over.
    pub fn take(&self) -> Option<Pieces> {
        self.handed.lock().take()
    }
}
