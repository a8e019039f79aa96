//! The operations that run on one socket. All of them are polled by the socket's one task.
//!
//! An operation starts as a future (prepare, check the right, run a query or mutation) and, if it is a subscription,
//! continues as a stream. It does not start while the client is not reading, or while too many others run. Futures that
//! have started are always polled, so that none is suspended while it holds a database connection. Streams are polled
//! only when the client has read everything, which is the back-pressure.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use async_graphql::Response;
use futures_util::{
    StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::{self, BoxStream, FuturesUnordered, SelectAll},
};

use crate::{
    access::{Actor, Caller, SignedIn},
    error::Error,
    server::execution,
};

/// The outcome of starting an operation.
pub enum Started {
    /// A query or mutation has run.
    Answer(Response),
    /// It was not executed.
    Refused(Vec<Error>),
    /// A subscription.
    Events(BoxStream<'static, execution::Event>),
    /// The socket's right has ended.
    Ended(Error),
}

/// The most operations that start at once.
pub const AT_ONCE: usize = 8;

type Beginning = Abortable<BoxFuture<'static, (Arc<str>, Started)>>;
type Events = Abortable<BoxStream<'static, (Arc<str>, Option<execution::Event>)>>;

/// The operations of one socket.
#[derive(Default)]
pub struct Operations {
    running: HashMap<Arc<str>, Running>,
    /// In order of arrival.
    waiting: VecDeque<Beginning>,
    beginnings: FuturesUnordered<Beginning>,
    events: SelectAll<Events>,
}

struct Running {
    caller: Arc<Caller>,
    abort: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// An event of one operation.
pub enum Happened {
    Started(Arc<str>, Started),
    /// A subscription's event, or its end.
    Event(Arc<str>, Option<execution::Event>),
}

impl Operations {
    /// How many run.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// Whether an operation with this id is running.
    pub fn contains(&self, id: &str) -> bool {
        self.running.contains_key(id)
    }

    /// Starts an operation. Its id must be free.
    pub fn begin(
        &mut self,
        id: String,
        caller: Arc<Caller>,
        beginning: impl Future<Output = Started> + Send + 'static,
    ) {
        let id: Arc<str> = Arc::from(id);
        let (abort, registration) = AbortHandle::new_pair();
        self.running
            .insert(Arc::clone(&id), Running { caller, abort });
        let beginning: BoxFuture<_> = Box::pin(async move { (id, beginning.await) });
        self.waiting
            .push_back(Abortable::new(beginning, registration));
    }

    /// Continues an operation as a stream of events.
    pub fn follow(&mut self, id: Arc<str>, events: BoxStream<'static, execution::Event>) {
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        let (abort, registration) = AbortHandle::new_pair();
        running.abort = abort;
        let end = stream::once(std::future::ready(None));
        let events = events
            .map(Some)
            .chain(end)
            .map(move |event| (Arc::clone(&id), event));
        self.events
            .push(Abortable::new(events.boxed(), registration));
    }

    /// Ends an operation, whatever its state. It produces nothing more. Unknown ids are ignored, since the operation
    /// may have ended while the client's message was on its way.
    pub fn end(&mut self, id: &str) {
        self.running.remove(id);
    }

    /// Updates the actor of all running operations.
    pub fn become_actor(&self, signed_in: SignedIn) {
        for running in self.running.values() {
            running.caller.become_actor(Actor::SignedIn(signed_in));
        }
    }

    /// The next event; pending forever while nothing runs. Operations start while fewer than `at_once` run. Without
    /// `with_events`, subscriptions are not polled. Cancel-safe.
    pub async fn happen(&mut self, at_once: usize, with_events: bool) -> Happened {
        let Self {
            waiting,
            beginnings,
            events,
            ..
        } = self;
        loop {
            while beginnings.len() < at_once {
                let Some(next) = waiting.pop_front() else {
                    break;
                };
                if !next.is_aborted() {
                    beginnings.push(next);
                }
            }
            tokio::select! {
                Some(begun) = beginnings.next() => {
                    // An aborted operation produces nothing.
                    if let Ok((id, started)) = begun {
                        return Happened::Started(id, started);
                    }
                }
                Some((id, event)) = events.next(), if with_events => {
                    return Happened::Event(id, event);
                }
                else => return std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use parking_lot::Mutex;

    use super::*;
    use crate::{access::Client, error::Language};

    fn caller() -> Arc<Caller> {
        let client = Client {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: None,
            request_id: "r".to_owned(),
            language: Language::En,
        };
        Caller::new(client, Actor::Anonymous)
    }

    fn numbers() -> Started {
        let events = (0..3).map(|n| execution::Event::Response(Response::new(n)));
        Started::Events(stream::iter(events).boxed())
    }

    /// Runs until nothing happens any more, and tells what did.
    async fn watch(operations: &mut Operations, with_events: bool) -> Vec<String> {
        let mut seen = Vec::new();
        let moment = std::time::Duration::from_millis(50);
        while let Ok(happened) =
            tokio::time::timeout(moment, operations.happen(AT_ONCE, with_events)).await
        {
            match happened {
                Happened::Started(id, Started::Events(events)) => operations.follow(id, events),
                Happened::Started(id, _) => seen.push(format!("{id} answered")),
                Happened::Event(id, event) => {
                    seen.push(format!("{id} {event:?}"));
                }
            }
        }
        seen
    }

    #[tokio::test]
    async fn a_subscription_ends_after_its_last_event() {
        let mut operations = Operations::default();
        operations.begin("a".to_owned(), caller(), async { numbers() });

        let seen = watch(&mut operations, true).await;

        assert_eq!(seen.len(), 4);
        assert_eq!(seen[3], "a None");
    }

    #[tokio::test]
    async fn nothing_comes_of_an_ended_operation_and_its_id_is_free() {
        let mut operations = Operations::default();
        operations.begin("a".to_owned(), caller(), async { numbers() });
        assert!(watch(&mut operations, false).await.is_empty());

        operations.end("a");
        operations.begin("a".to_owned(), caller(), async {
            Started::Answer(Response::new(7))
        });

        assert_eq!(watch(&mut operations, true).await, ["a answered"]);
    }

    #[tokio::test]
    async fn what_waits_begins_in_its_order_once_it_may_and_only_a_few_run_at_once() {
        let (mut operations, begun) = (Operations::default(), Arc::new(Mutex::new(Vec::new())));
        for n in 0..AT_ONCE + 2 {
            let begun = Arc::clone(&begun);
            operations.begin(n.to_string(), caller(), async move {
                begun.lock().push(n);
                std::future::pending().await
            });
        }
        operations.end("1");
        let moment = std::time::Duration::from_millis(50);

        let happened = tokio::time::timeout(moment, operations.happen(0, true)).await;
        assert!(happened.is_err() && begun.lock().is_empty());
        let happened = tokio::time::timeout(moment, operations.happen(AT_ONCE, true)).await;

        assert!(happened.is_err());
        let mut begun = begun.lock().clone();
        begun.sort_unstable();
        let expected: Vec<_> = (0..=AT_ONCE).filter(|n| *n != 1).collect();
        assert_eq!(begun, expected);
    }

    #[tokio::test]
    async fn while_events_stand_still_queries_go_on() {
        let mut operations = Operations::default();
        operations.begin("a".to_owned(), caller(), async { numbers() });
        operations.begin("b".to_owned(), caller(), async {
            Started::Answer(Response::new(7))
        });

        assert_eq!(watch(&mut operations, false).await, ["b answered"]);
    }
}
