//! Subscriptions whose events are executed once for all subscribers of their shape: see [`crate::fanout`].

use std::sync::Arc;

use async_graphql::{
    Executor, PathSegment, Response, Value, Variables,
    parser::types::{OperationDefinition, Selection},
};
use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};

use super::{Engine, Event, Prepared, answer::wire, once, refusal};
use crate::{
    access::Caller,
    error::Error,
    fanout::{Given, Key, Offer, Piece, Pieces, Shape},
};

/// A subscription with a shape.
struct Sharing {
    phase: Phase,
    caller: Arc<Caller>,
    place: Place,
}

/// How far it has come.
enum Phase {
    /// What the resolver answers: nothing, unless it fails.
    Starting(BoxStream<'static, Response>, Arc<Offer>),
    Handed(Pieces, Shape),
    Over,
}

impl<E: Executor> Engine<E> {
    /// Runs a subscription with a shape.
    pub(super) fn share(
        &self,
        prepared: Prepared,
        caller: Arc<Caller>,
    ) -> BoxStream<'static, Event> {
        let shape = self.shape(&prepared, &caller);
        let place = Place::of(&prepared.operation.definition.node);
        let request = match self.request(prepared, &caller) {
            Ok(request) => request,
            Err(error) => return once(std::future::ready(refusal(&[error], &caller.client))),
        };
        let offer = Arc::new(Offer::new(shape));
        let request = request.data(Arc::clone(&offer));
        let starting = self.follow(request, Arc::clone(&caller));
        let sharing = Sharing {
            phase: Phase::Starting(starting, offer),
            caller,
            place,
        };
        // Boxed, since the stream moves it for each event.
        stream::unfold(Box::new(sharing), |mut sharing| async {
            let event = sharing.next().await?;
            Some((event, sharing))
        })
        .boxed()
    }

    fn shape(&self, prepared: &Prepared, caller: &Arc<Caller>) -> Shape {
        let operation = Arc::clone(&prepared.operation);
        let key = Key {
            operation: Arc::as_ptr(&operation).addr(),
            variables: self.variables(&operation.definition.node, &prepared.variables),
            is_admin: caller.actor().is_admin(),
            language: caller.client.language,
        };
        let (engine, caller) = (self.clone(), Arc::clone(caller));
        let (variables, account) = (prepared.variables.clone(), prepared.account.clone());
        Shape::new(key, move |given| {
            let prepared = Prepared {
                kind: operation.definition.node.ty,
                root_fields: Vec::new(),
                operation: Arc::clone(&operation),
                variables: variables.clone(),
                uploads: Vec::new(),
                account: account.clone(),
                // Others wait for it, too, who must not wait for the turn of this caller's address.
                objects: 0,
                held: None,
                deadline: tokio::time::Instant::now(),
            };
            let (engine, caller) = (engine.clone(), Arc::clone(&caller));
            async move { engine.render(prepared, &caller, given).await }.boxed()
        })
    }

    /// The variables as text, without the one of the cursor.
    fn variables(&self, operation: &OperationDefinition, variables: &Variables) -> String {
        let mut variables = variables.clone();
        if let (Some(shareable), Some(Selection::Field(field))) =
            (self.shared.shareable, first(operation))
            && let Some(cursor) = field.node.get_argument(shareable.cursor)
            && let async_graphql_value::Value::Variable(name) = &cursor.node
        {
            variables.remove(name);
        }
        serde_json::to_string(&variables).unwrap_or_default()
    }

    /// Executes the selection on an event.
    async fn render(&self, prepared: Prepared, caller: &Arc<Caller>, given: Given) -> Bytes {
        let response = match self.request(prepared, caller) {
            Ok(request) => {
                let mut responses = self.follow(request.data(given), Arc::clone(caller));
                responses.next().await.unwrap_or_default()
            }
            Err(error) => refusal(&[error], &caller.client),
        };
        json(&response)
    }
}

fn json(response: &Response) -> Bytes {
    match serde_json::to_vec(response) {
        Ok(text) => text.into(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            Bytes::from_static(b"{\"data\":null}")
        }
    }
}

impl Sharing {
    async fn next(&mut self) -> Option<Event> {
        if let Phase::Starting(starting, offer) = &mut self.phase {
            if let Some(response) = starting.next().await {
                return Some(Event::Response(response));
            }
            self.phase = Phase::Handed(offer.take()?, offer.shape.clone());
        }
        let Phase::Handed(pieces, shape) = &mut self.phase else {
            return None;
        };
        Some(match pieces.next().await? {
            Ok(Piece::Rendered(bytes)) => Event::Rendered(bytes),
            Ok(Piece::Own(given)) => Event::Rendered(shape.render(given).await),
            Err(error) => {
                self.phase = Phase::Over;
                Event::Response(self.place.failed(&error, &self.caller))
            }
        })
    }
}

/// Where the errors of a subscription belong.
struct Place {
    pos: async_graphql::Pos,
    key: String,
}

impl Place {
    fn of(operation: &OperationDefinition) -> Self {
        match first(operation) {
            Some(Selection::Field(field)) => Self {
                pos: field.pos,
                key: field.node.response_key().node.to_string(),
            },
            _ => Self {
                pos: async_graphql::Pos::default(),
                key: String::new(),
            },
        }
    }

    fn failed(&self, error: &Error, caller: &Caller) -> Response {
        let path = vec![PathSegment::Field(self.key.clone())];
        let error = wire(error, vec![self.pos], path, Some(&caller.client));
        let mut response = Response::from_errors(vec![error]);
        response.data = Value::Null;
        response
    }
}

fn first(operation: &OperationDefinition) -> Option<&Selection> {
    let first = operation.selection_set.node.items.first()?;
    Some(&first.node)
}
