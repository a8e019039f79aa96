//! The operations that run on one socket. All of them are polled by the socket's one task.
//!
//! An operation starts as a future (prepare, check the right, run a query or mutation) and, if it is a subscription,
//! continues as a stream. It does not start while the client is not reading, or while too many others run. Futures that
//! have started are always polled, so that none is suspended while it holds a database connection. Streams are polled
//! only when the client has read everything, which is the back-pressure.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
};

use async_graphql::Response;
use futures_util::{
    StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::{BoxStream, FuturesUnordered},
};
use tokio_stream::{StreamMap, StreamNotifyClose};

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

/// The operations of one socket.
#[derive(Default)]
pub struct Operations {
    running: HashMap<Arc<str>, Running>,
    /// In order of arrival.
    waiting: VecDeque<Beginning>,
    beginnings: FuturesUnordered<Beginning>,
    events: StreamMap<Arc<str>, StreamNotifyClose<BoxStream<'static, execution::Event>>>,
}

struct Running {
    caller: Arc<Caller>,
    /// Ends its beginning.
    abort: AbortHandle,
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
        if self.contains(&id) {
            self.events.insert(id, StreamNotifyClose::new(events));
        }
    }

    /// Ends an operation, whatever its state. It produces nothing more. Unknown ids are ignored, since the operation
    /// may have ended while the client's message was on its way.
    pub fn end(&mut self, id: &str) {
        if let Some(running) = self.running.remove(id) {
            running.abort.abort();
            self.events.remove(id);
        }
    }

    /// Updates the actor of all running operations.
    pub fn become_actor(&self, signed_in: SignedIn) {
        for running in self.running.values() {
            running.caller.become_actor(Actor::SignedIn(signed_in));
        }
    }

    /// Starts operations while fewer than `at_once` start, and returns the next one that has started.
    pub fn poll_started(
        &mut self,
        cx: &mut Context<'_>,
        at_once: usize,
    ) -> Poll<(Arc<str>, Started)> {
        loop {
            while self.beginnings.len() < at_once {
                let Some(next) = self.waiting.pop_front() else {
                    break;
                };
                if !next.is_aborted() {
                    self.beginnings.push(next);
                }
            }
            match self.beginnings.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(begun))) => return Poll::Ready(begun),
                // An aborted operation produces nothing.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The next event of a subscription, or its end.
    pub fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(Arc<str>, Option<execution::Event>)> {
        match self.events.poll_next_unpin(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use futures_util::stream;
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
        let all = std::future::poll_fn(|cx| {
            while let Poll::Ready((id, started)) = operations.poll_started(cx, AT_ONCE) {
                match started {
                    Started::Events(events) => operations.follow(id, events),
                    _ => seen.push(format!("{id} answered")),
                }
            }
            while with_events && let Poll::Ready((id, event)) = operations.poll_event(cx) {
                seen.push(format!("{id} {event:?}"));
            }
            Poll::<()>::Pending
        });
        assert!(tokio::time::timeout(moment, all).await.is_err());
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
        let mut cx = Context::from_waker(std::task::Waker::noop());

        assert!(operations.poll_started(&mut cx, 0).is_pending());
        assert!(begun.lock().is_empty());
        assert!(operations.poll_started(&mut cx, AT_ONCE).is_pending());

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
