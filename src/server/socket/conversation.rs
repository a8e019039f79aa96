//! Handles the messages of a socket.

use std::{ops::ControlFlow, sync::Arc};

use async_graphql::{Executor, parser::types::OperationType};
use serde_json::{Map, Value};
use tungstenite::Message;

use super::{
    close::Close,
    connection::{Connection, Phase},
    ending::{End, Step, close},
    message::{self, Said, Say},
    operations::Started,
    rights::{self, Learned, Standing},
};
use crate::{
    access::{Actor, Caller},
    budget::{Account, Held},
    error::{Error, Language},
    server::{
        execution::{self, Engine, RawRequest},
        net::{self, Net, Params, SocketRight},
    },
};

impl<E: Executor> Connection<E> {
    pub(super) fn received(&mut self, message: Message) -> Step {
        let step = self.heed(message);
        self.set_deadline();
        step
    }

    fn heed(&mut self, message: Message) -> Step {
        match message {
            Message::Text(text) => match Said::parse(&text) {
                Ok(Said::Init(payload)) => self.init(&payload),
                Ok(Said::Ping(payload)) => self.ping(payload),
                Ok(Said::Pong) => ControlFlow::Continue(()),
                Ok(Said::Subscribe { id, params }) => self.subscribe(id, *params, &text),
                Ok(Said::Complete { id }) => {
                    self.operations.end(&id);
                    ControlFlow::Continue(())
                }
                Err(reason) => close(Close::bad_request(&reason)),
            },
            Message::Binary(_) => close(Close::bad_request("Binary messages are not supported")),
            Message::Close(_) => ControlFlow::Break(End::Closed),
            // The WebSocket library answers pings.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => ControlFlow::Continue(()),
        }
    }

    fn init(&mut self, payload: &Map<String, Value>) -> Step {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            return close(Close::second_init());
        }
        if let Some(languages) = payload.get("acceptLanguage").and_then(Value::as_str) {
            self.client.language = Language::negotiate(languages);
        }
        match rights::token_of(payload) {
            Ok(Some(token)) => {
                self.phase = Phase::Opening;
                self.questions.open(&self.net, token);
                ControlFlow::Continue(())
            }
            Ok(None) => self.open(None),
            Err(error) => close(Close::refused(&error)),
        }
    }

    fn open(&mut self, standing: Option<Standing>) -> Step {
        self.phase = Phase::Open(standing);
        self.say(&Say::ConnectionAck);
        // A change between checking the token and taking the seat would be missed.
        self.ask_again();
        ControlFlow::Continue(())
    }

    /// A ping is answered with its payload. If the payload has a token, the answer is sent once the token has been
    /// checked.
    fn ping(&mut self, payload: Option<Map<String, Value>>) -> Step {
        let Some(mut payload) = payload else {
            self.say(&Say::Pong { payload: None });
            return ControlFlow::Continue(());
        };
        match (payload.remove("token"), &self.phase) {
            (None, _) => self.say(&Say::Pong {
                payload: Some(&payload),
            }),
            (Some(Value::String(token)), Phase::Open(Some(_))) if !token.is_empty() => {
                self.questions.renew(&self.net, token, payload);
            }
            (Some(_), _) => return close(Close::forbidden()),
        }
        ControlFlow::Continue(())
    }

    pub(super) fn learned(&mut self, learned: Learned) -> Step {
        let step = self.take_in(learned);
        self.set_deadline();
        step
    }

    fn take_in(&mut self, learned: Learned) -> Step {
        match (learned, &mut self.phase) {
            (Learned::Opened(Ok(right)), _) => {
                let limit = self.net.app.config.limits.sockets;
                match self.net.seats.take(right.actor, limit) {
                    Some(seat) => {
                        self.anonymous = None;
                        self.open(Some(Standing::new(right, seat)))
                    }
                    None => close(Close::try_again_later("Too many sockets")),
                }
            }
            (Learned::Opened(Err(error)), _) => close(Close::refused(&error)),
            (Learned::Renewed(newer, echo), Phase::Open(Some(standing))) => {
                match newer.and_then(|newer| standing.renew(newer)) {
                    Ok(()) => {
                        let payload = Some(&echo).filter(|echo| !echo.is_empty());
                        self.say(&Say::Pong { payload });
                        ControlFlow::Continue(())
                    }
                    Err(error) => close(Close::refused(&error)),
                }
            }
            (Learned::Again(answer), Phase::Open(Some(standing))) => {
                match answer {
                    Ok(actor) => {
                        standing.become_actor(actor);
                        self.operations.become_actor(actor);
                    }
                    Err(error) => ended(&error)?,
                }
                if self.questions.answered_again() {
                    self.ask_again();
                }
                ControlFlow::Continue(())
            }
            // Only sockets with a standing ask these.
            (Learned::Renewed(..) | Learned::Again(_), _) => ControlFlow::Continue(()),
        }
    }

    fn subscribe(&mut self, id: String, params: Params, text: &str) -> Step {
        let Phase::Open(standing) = &self.phase else {
            return close(Close::unauthorized());
        };
        self.check_clock()?;
        if self.operations.contains(&id) {
            return close(Close::duplicate(&id));
        }
        let limits = &self.net.app.config.limits;
        let limit = limits.subscriptions;
        if self.operations.len() >= limit {
            let error = Error::LimitExceeded {
                what: "operations on this socket",
                limit: limit as u64,
            };
            self.refuse(&id, &[error]);
            return ControlFlow::Continue(());
        }
        let held = match net::hold(&self.account, text.as_bytes(), limits.values) {
            Ok(held) => held,
            Err(error) => {
                self.refuse(&id, &[error]);
                return ControlFlow::Continue(());
            }
        };
        let right = standing.as_ref().map(Standing::right);
        let actor = right.map_or(Actor::Anonymous, |right| Actor::SignedIn(right.actor));
        let caller = Caller::new(self.client.clone(), actor);
        let (net, engine) = (self.net.clone(), self.engine.clone());
        let request = Request {
            params,
            size: text.len(),
            held,
            account: self.account.clone(),
        };
        let beginning = begin(net, engine, request, right, Arc::clone(&caller));
        self.operations.begin(id, caller, beginning);
        ControlFlow::Continue(())
    }

    pub(super) fn started(&mut self, id: Arc<str>, started: Started) -> Step {
        match started {
            Started::Answer(response) => {
                self.say(&Say::Next {
                    id: &id,
                    payload: &response,
                });
                self.complete(&id);
            }
            Started::Refused(errors) => {
                self.operations.end(&id);
                self.refuse(&id, &errors);
            }
            Started::Events(events) => self.operations.follow(id, events),
            Started::Ended(error) => {
                ended(&error)?;
                self.operations.end(&id);
                self.refuse(&id, &[error]);
            }
        }
        ControlFlow::Continue(())
    }

    pub(super) fn complete(&mut self, id: &str) {
        self.operations.end(id);
        self.say(&Say::Complete { id });
    }

    fn refuse(&mut self, id: &str, errors: &[Error]) {
        let refusal = execution::refusal(errors, &self.client);
        self.say(&Say::Error {
            id,
            payload: &refusal.errors,
        });
    }

    /// Sends a response that is JSON already.
    pub(super) fn say_rendered(&mut self, id: &str, payload: &[u8]) {
        let text = message::next(id, payload);
        self.expected = (self.expected / 2).max(text.len());
        self.outgoing.push_text(self.account.keep(text));
    }

    pub(super) fn say(&mut self, say: &Say) {
        if let Some(text) = say.text() {
            if matches!(say, Say::Next { .. }) {
                self.expected = (self.expected / 2).max(text.len());
            }
            self.outgoing.push_text(self.account.keep(text));
        }
    }
}

/// What is needed to start an operation.
struct Request {
    params: Params,
    /// Bytes of its message.
    size: usize,
    /// What it takes in memory.
    held: Held,
    account: Account,
}

/// Prepares an operation, checks the right again, and runs it or creates its stream.
async fn begin<E: Executor>(
    net: Net,
    engine: Engine<E>,
    request: Request,
    right: Option<SocketRight>,
    caller: Arc<Caller>,
) -> Started {
    let Request {
        params,
        size,
        held,
        account,
    } = request;
    let resolved = match net.documents.resolve(params.query, &params.extensions) {
        Ok(resolved) => resolved,
        Err(error) => return Started::Refused(vec![error]),
    };
    let raw = RawRequest {
        query: resolved.document,
        operation_name: params.operation_name,
        variables: params.variables,
        uploads: 0,
        account,
        size,
        held,
    };
    let prepared = match engine.prepare(raw).await {
        Ok(prepared) => prepared,
        Err(errors) => return Started::Refused(errors),
    };
    if let Some(new) = resolved.new {
        net.documents.keep(new);
    }
    match rights::actor(&net, right).await {
        Ok(actor) => caller.become_actor(actor),
        Err(error) => return Started::Ended(error),
    }
    if prepared.kind == OperationType::Subscription {
        Started::Events(engine.stream(prepared, caller))
    } else {
        Started::Answer(engine.execute(prepared, caller).await)
    }
}

/// Closes the socket if an error says that its right has ended.
fn ended(error: &Error) -> Step {
    match Close::ended(error) {
        Some(end) => close(end),
        None => {
            tracing::warn!(%error, "cannot tell whether the right of a socket still stands");
            ControlFlow::Continue(())
        }
    }
}
