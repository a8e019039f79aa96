//! The pipeline as a whole, on a small schema of its own.

mod direct;
mod failing;
mod limits;
mod merging;
mod property;
mod schema;
mod subscribing;
mod validating;
mod variables;
mod zoo;

use std::{
    net::Ipv4Addr,
    sync::{Arc, atomic::AtomicUsize},
};

use async_graphql::{Executor, Response, Variables};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{Engine, Prepared, RawRequest, Rights, fuzz::limits, refusal};
use crate::{
    access::{Access, Actor, Caller, Client},
    budget::Budget,
    config::Limits,
    cpu::Cpu,
    error::{Error, Language, Result},
};

fn client(language: Language) -> Client {
    Client {
        address: Ipv4Addr::LOCALHOST.into(),
        user_agent: None,
        request_id: "request".to_owned(),
        language,
    }
}

/// Rights that end with the call of this number, and the number of calls.
struct Until(Option<usize>, AtomicUsize);

impl Rights for Until {
    fn permits(&self, caller: &Caller, access: Access) -> Result<()> {
        access.permits(&caller.actor(), false)
    }

    fn refresh<'a>(&'a self, _: &'a Caller, _: &'a str) -> BoxFuture<'a, Result<()>> {
        let call = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let over = self.0.is_some_and(|last| call >= last);
        Box::pin(async move {
            if over {
                Err(Error::TokenInvalid)
            } else {
                Ok(())
            }
        })
    }
}

/// Names of the mutations that have run, in order.
type Journal = Arc<Mutex<Vec<String>>>;

/// An engine to be changed before it is asked.
struct Bench<E> {
    executor: E,
    limits: Limits,
    introspection: bool,
    rights: Arc<Until>,
    journal: Journal,
    language: Language,
}

impl Bench<schema::TestSchema> {
    fn new() -> Self {
        Self::on(schema::build())
    }
}

impl Bench<zoo::ZooSchema> {
    fn zoo() -> Self {
        Self::on(zoo::build())
    }
}

impl<E: Executor> Bench<E> {
    fn on(executor: E) -> Self {
        Self {
            executor,
            limits: limits(),
            introspection: true,
            rights: Arc::new(Until(None, AtomicUsize::new(0))),
            journal: Journal::default(),
            language: Language::En,
        }
    }

    fn limit(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    fn engine(&self) -> Engine<E> {
        let journal = Arc::clone(&self.journal);
        Engine::with(
            self.executor.clone(),
            Cpu::default(),
            self.limits.clone(),
            self.introspection,
            Arc::clone(&self.rights) as Arc<dyn Rights>,
            Box::new(move |request| request.data(Arc::clone(&journal))),
            None,
        )
    }

    async fn prepare(&self, query: &str, variables: Value) -> Result<Prepared, Vec<Error>> {
        let request = raw(query, variables);
        self.engine().prepare(request).await
    }

    async fn answer(&self, query: &str, variables: Value) -> Response {
        let engine = self.engine();
        let caller = Caller::new(client(self.language), Actor::Anonymous);
        match engine.prepare(raw(query, variables)).await {
            Ok(prepared) => engine.execute(prepared, caller).await,
            Err(errors) => refusal(&errors, &caller.client),
        }
    }

    /// The whole answer, as a transport would send it.
    async fn ask_with(&self, query: &str, variables: Value) -> Value {
        sent(self.answer(query, variables).await)
    }

    /// The data of an answer as text, in its order.
    async fn text(&self, query: &str) -> String {
        let response = self.answer(query, json!({})).await;
        assert!(response.errors.is_empty(), "{query}: {:?}", response.errors);
        serde_json::to_string(&response.data).expect("JSON")
    }

    async fn ask(&self, query: &str) -> Value {
        self.ask_with(query, json!({})).await
    }

    /// The data of an answer without errors.
    async fn data(&self, query: &str) -> Value {
        let answer = self.ask(query).await;
        assert_eq!(answer["errors"], Value::Null, "{answer:#}");
        answer["data"].clone()
    }

    /// Codes of the errors that keep a request from running.
    async fn refused_with(&self, query: &str, variables: Value) -> Vec<&'static str> {
        match self.prepare(query, variables).await {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|error| error.code().as_str()).collect(),
        }
    }

    async fn refused(&self, query: &str) -> Vec<&'static str> {
        self.refused_with(query, json!({})).await
    }
}

fn raw(query: &str, variables: Value) -> RawRequest {
    let account = Budget::new(&limits()).account(Ipv4Addr::LOCALHOST.into());
    RawRequest {
        query: query.to_owned(),
        operation_name: None,
        variables: Variables::from_json(variables),
        uploads: 0,
        held: account.hold(0),
        account,
        size: 0,
    }
}

fn sent(response: Response) -> Value {
    serde_json::to_value(response).expect("JSON")
}
