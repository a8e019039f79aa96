//! One socket, from the upgrade to its close.

use std::{
    future::poll_fn,
    net::IpAddr,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_graphql::Executor;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tungstenite::{Error, Message};

use super::{
    alarm::Alarm,
    close::Close,
    ending::{self, End, Step, WebSocket, close},
    message::Say,
    operations::{AT_ONCE, Operations, Started},
    outgoing::Outgoing,
    rights::{Learned, Questions, Standing},
};
use crate::{
    access::Client,
    budget::Account,
    counts::Taken,
    server::{
        execution::{self, Engine},
        net::Net,
    },
};

/// How often the right of a socket is checked again, besides the messages of the bus.
const BEAT: Duration = Duration::from_secs(10);

/// After this many silent beats the peer is pinged, and after as many again the connection is closed: 30 s and 60 s.
/// These are pings of the WebSocket protocol, which browsers answer by themselves.
const SILENT_BEATS: u32 = 3;

/// The most concurrent authentications. With more, no further messages are read.
const QUESTIONS: usize = 4;

/// The most events that are sent one after the other before anything else is looked at.
const IN_A_ROW: usize = 16;

/// The phase of a socket.
pub enum Phase {
    /// No `connection_init` yet.
    Waiting { until: Instant },
    /// Its token is being checked.
    Opening,
    /// Acknowledged. `None` for an anonymous caller.
    Open(Option<Standing>),
}

/// The events of a socket's task.
enum Event {
    ShutDown,
    RightsChanged,
    /// A deadline has come.
    Late,
    /// Nothing can be sent any more.
    Broken(Error),
    Beat,
    Learned(Learned),
    Received(Option<Result<Message, Error>>),
    Started(Arc<str>, Started),
}

/// A socket that speaks graphql-transport-ws.
pub struct Connection<E: Executor> {
    pub(super) net: Net,
    pub(super) engine: Engine<E>,
    pub(super) client: Client,
    pub(super) account: Account,
    /// The expected bytes of a response, estimated from earlier ones.
    pub(super) expected: usize,
    /// Counts the socket while no user is signed in.
    pub(super) anonymous: Option<Taken<IpAddr>>,
    pub(super) phase: Phase,
    pub(super) questions: Questions,
    pub(super) operations: Operations,
    pub(super) outgoing: Outgoing,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When the phase ends, if it [does](Self::has_deadline).
    deadline: Pin<Box<Sleep>>,
    has_deadline: bool,
    beat: Interval,
    /// The beats since the client last sent anything.
    silence: u32,
}

impl<E: Executor> Connection<E> {
    pub fn new(net: Net, engine: Engine<E>, client: Client, anonymous: Taken<IpAddr>) -> Self {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let until = Instant::now() + net.app.config.limits.init_time;
        Self {
            shutdown: Box::pin(net.shutdown.clone().cancelled_owned()),
            deadline: Box::pin(sleep_until(until)),
            has_deadline: true,
            account: net.budget.account(client.neighbourhood()),
            // Large at first, until small responses lower the estimate.
            expected: net.app.config.limits.answer / 2,
            anonymous: Some(anonymous),
            net,
            engine,
            client,
            phase: Phase::Waiting { until },
            questions: Questions::default(),
            operations: Operations::default(),
            outgoing: Outgoing::default(),
            beat,
            silence: 0,
        }
    }

    /// Serves the socket until it ends.
    pub async fn serve(mut self, mut socket: WebSocket) {
        // Rings when anything but an event, or room to send it, has come.
        let alarm = Alarm::default();
        let end = loop {
            let event = poll_fn(|cx| self.poll(cx, &mut socket, &alarm)).await;
            if let ControlFlow::Break(end) = self.handle(event) {
                break end;
            }
        };
        // Operations and the seat are released before the close frame is sent.
        let Self { outgoing, .. } = self;
        ending::finish(socket, outgoing, end).await;
    }

    /// Sends events while there are any, and returns whatever else comes first.
    fn poll(&mut self, cx: &mut Context<'_>, socket: &mut WebSocket, alarm: &Alarm) -> Poll<Event> {
        // Most wake-ups bring one event, which can be sent at once.
        let has_more = 'events: {
            for _ in 0..IN_A_ROW {
                if !self.outgoing.is_idle() {
                    match self.outgoing.poll_drain(cx, socket) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Event::Broken(error)),
                        Poll::Pending => break 'events false,
                    }
                }
                match self.operations.poll_event(cx) {
                    Poll::Ready((id, Some(event))) => self.say_event(&id, &event),
                    Poll::Ready((id, None)) => self.complete(&id),
                    Poll::Pending => break 'events false,
                }
            }
            true
        };
        if has_more {
            cx.waker().wake_by_ref();
        }
        alarm.poll(cx, |cx| self.poll_rest(cx, socket, alarm))
    }

    /// Whatever is not an event of a subscription.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut WebSocket,
        alarm: &Alarm,
    ) -> Poll<Event> {
        if self.shutdown.poll_unpin(cx).is_ready() {
            return Poll::Ready(Event::ShutDown);
        }
        if let Phase::Open(Some(standing)) = &mut self.phase
            && standing.poll_changed(cx).is_ready()
        {
            return Poll::Ready(Event::RightsChanged);
        }
        if self.has_deadline && self.deadline.poll_unpin(cx).is_ready() {
            return Poll::Ready(Event::Late);
        }
        if self.beat.poll_tick(cx).is_ready() {
            return Poll::Ready(Event::Beat);
        }
        if let Poll::Ready(learned) = self.questions.poll_next(cx) {
            return Poll::Ready(Event::Learned(learned));
        }
        let has_room = !self.outgoing.is_full();
        if has_room && self.questions.len() < QUESTIONS {
            if let Poll::Ready(received) = socket.poll_next_unpin(cx) {
                return Poll::Ready(Event::Received(received));
            }
        } else {
            // Nothing wakes it when there is room again.
            alarm.ring();
        }
        let at_once = if has_room { self.at_once() } else { 0 };
        let started = self.operations.poll_started(cx, at_once);
        started.map(|(id, started)| Event::Started(id, started))
    }

    /// How many operations may run at once, so that their responses fit into the connection's budget.
    fn at_once(&self) -> usize {
        let room = self.net.app.config.limits.unread_connection / 2;
        (room / self.expected.max(1)).clamp(1, AT_ONCE)
    }

    /// Sets the timer to the earliest deadline. Call it whenever that may have changed.
    pub(super) fn set_deadline(&mut self) {
        let deadline = match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Opening | Phase::Open(None) => None,
            Phase::Open(Some(standing)) => standing.expires(self.net.app.clock.moment()),
        };
        self.has_deadline = deadline.is_some();
        if let Some(deadline) = deadline {
            self.deadline.as_mut().reset(deadline);
        }
    }

    fn handle(&mut self, event: Event) -> Step {
        match event {
            Event::ShutDown => close(Close::going_away()),
            Event::RightsChanged => {
                self.ask_again();
                ControlFlow::Continue(())
            }
            Event::Late => {
                self.late()?;
                self.set_deadline();
                ControlFlow::Continue(())
            }
            Event::Broken(error) => {
                tracing::debug!(%error, "cannot be sent to");
                ControlFlow::Break(End::Gone)
            }
            Event::Received(None) => ControlFlow::Break(End::Gone),
            Event::Beat => self.beat(),
            Event::Learned(learned) => self.learned(learned),
            Event::Received(Some(Ok(message))) => {
                self.silence = 0;
                self.received(message)
            }
            Event::Received(Some(Err(error))) => ControlFlow::Break(ending::broken(&error)),
            Event::Started(id, started) => self.started(id, started),
        }
    }

    fn say_event(&mut self, id: &str, event: &execution::Event) {
        match event {
            execution::Event::Response(response) => self.say(&Say::Next {
                id,
                payload: response,
            }),
            execution::Event::Rendered(payload) => self.say_rendered(id, payload),
        }
    }

    fn late(&self) -> Step {
        let now = Instant::now();
        match &self.phase {
            Phase::Waiting { until } if *until <= now => close(Close::init_timeout()),
            Phase::Open(Some(standing)) if standing.is_over(self.net.app.clock.moment()) => {
                close(Close::forbidden())
            }
            // Timers may fire slightly early.
            _ => ControlFlow::Continue(()),
        }
    }

    fn beat(&mut self) -> Step {
        self.silence += 1;
        if self.silence == SILENT_BEATS {
            self.outgoing.push(Message::Ping(Bytes::new()));
        } else if self.silence >= 2 * SILENT_BEATS {
            return ControlFlow::Break(End::Gone);
        }
        self.ask_again();
        self.check_clock()
    }

    pub(super) fn ask_again(&mut self) {
        if let Phase::Open(Some(standing)) = &self.phase {
            self.questions.again(&self.net, &standing.right());
        }
    }

    pub(super) fn check_clock(&self) -> Step {
        match &self.phase {
            Phase::Open(Some(standing)) if standing.is_over(self.net.app.clock.moment()) => {
                close(Close::forbidden())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
