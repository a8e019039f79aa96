//! The engine, from a request to a response: documents are parsed, validated, checked against the limits and normalised
//! before anything runs. Then async-graphql executes them, and [`Execution`] makes errors end where they should.
//!
//! This room knows no transport, no feature and no type of the schema.

mod answer;
mod collect;
mod cost;
mod documents;
mod extension;
mod fanout;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod guards;
mod limits;
mod normal;
mod parse;
mod rules;
mod variables;

#[cfg(test)]
mod tests;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_graphql::{
    Executor, PathSegment, Request, Response, SchemaEnv, UploadValue, Variables,
    parser::types::{OperationType, Selection},
};
use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use parking_lot::RwLock;
use tokio::time::{Instant, timeout_at};

use self::{
    answer::wire,
    documents::{Documents, Operation},
    extension::{Run, Task},
};
use crate::{
    access::{Access, Caller, Client},
    app::App,
    budget::{Account, AnswerSize, Held},
    config::Limits,
    cpu::{Cpu, Share},
    direct::Answering,
    error::{Error, Result},
    fanout::Shareable,
    loader::Loaders,
    memory::Memory,
};

#[cfg(any(test, fuzzing))]
pub use self::fuzz::Examiner;
pub use self::{answer::refusal, extension::Execution, variables::UPLOAD};

/// A request as a transport has read it.
pub struct RawRequest {
    pub query: String,
    pub operation_name: Option<String>,
    pub variables: Variables,
    /// Files that come with it.
    pub uploads: usize,
    /// The budget account of the response.
    pub account: Account,
    /// The size of the request in bytes, without uploads.
    pub size: usize,
    /// What its variables take, for as long as it runs.
    pub held: Held,
}

/// Larger requests are prepared on separate threads. Smaller ones take less than a millisecond.
const SMALL: usize = 16 << 10;

/// A request that is ready to run: parsed, valid, within the limits, normalised, with coerced variables.
pub struct Prepared {
    pub kind: OperationType,
    /// Names of the root's fields in the schema (not aliases), after `@skip` and `@include`.
    pub root_fields: Vec<String>,
    operation: Arc<Operation>,
    variables: Variables,
    uploads: Vec<UploadValue>,
    account: Account,
    /// How many objects it asks for.
    objects: u64,
    held: Option<Held>,
    /// The deadline of the request, unless it is a subscription.
    deadline: Instant,
}

impl Prepared {
    /// The request with its files, which have arrived by now. It has `time` from now on.
    #[must_use]
    pub fn with_uploads(mut self, uploads: Vec<UploadValue>, time: Duration) -> Self {
        self.uploads = uploads;
        self.deadline = Instant::now() + time;
        self
    }
}

/// What a caller may do.
pub trait Rights: Send + Sync {
    /// Whether the caller has this access, as far as it does not depend on an object.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `FORBIDDEN`.
    fn permits(&self, caller: &Caller, access: Access) -> Result<()>;

    /// Reads the caller's rights again before each root field of a mutation, since a right may end between two of them.
    /// An error becomes that of the field, which does not run.
    fn refresh<'a>(&'a self, caller: &'a Caller, field: &'a str) -> BoxFuture<'a, Result<()>>;
}

/// Prepares and runs documents. Cheap to clone.
#[derive(Clone)]
pub struct Engine<E> {
    executor: E,
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    rights: Arc<dyn Rights>,
    documents: Documents,
    shareable: Option<Shareable>,
    /// The schema's types, once the executor has shown them.
    types: Arc<RwLock<Option<SchemaEnv>>>,
    cpu: Cpu,
    /// Adds to a request what resolvers find in their context.
    equip: Box<dyn Fn(Request) -> Request + Send + Sync>,
}

impl<E: Executor> Engine<E> {
    /// An engine for a schema that carries the extension [`Execution`].
    pub fn new(executor: E, app: App, rights: Arc<dyn Rights>, shareable: Shareable) -> Self {
        let (limits, cpu) = (app.config.limits.clone(), app.cpu.clone());
        let introspection = app.config.introspection.is_on();
        let memory = Arc::<Memory>::default();
        let equip = move |request: Request| {
            let loaders = Loaders::with(Arc::clone(&memory));
            request.data(app.clone()).data(loaders)
        };
        Self::with(
            executor,
            cpu,
            limits,
            introspection,
            rights,
            Box::new(equip),
            Some(shareable),
        )
    }

    fn with(
        executor: E,
        cpu: Cpu,
        limits: Limits,
        introspection: bool,
        rights: Arc<dyn Rights>,
        equip: Box<dyn Fn(Request) -> Request + Send + Sync>,
        shareable: Option<Shareable>,
    ) -> Self {
        let shared = Shared {
            documents: Documents::new(limits.clone(), introspection, shareable),
            shareable,
            limits,
            rights,
            types: Arc::default(),
            cpu,
            equip,
        };
        Self {
            executor,
            shared: Arc::new(shared),
        }
    }

    /// Prepares a request, within its time limit.
    ///
    /// # Errors
    /// Why it cannot run, at most 100 errors. Errors of the document come before those of its variables.
    pub async fn prepare(&self, request: RawRequest) -> Result<Prepared, Vec<Error>> {
        let one = |error| vec![error];
        let deadline = Instant::now() + self.shared.limits.request_time;
        let schema = self.schema().await.map_err(one)?;
        let (text, size) = (&request.query, request.size.max(request.query.len()));
        // For a cached document, only the variables cost time.
        let is_small =
            size <= SMALL || size - text.len() <= SMALL && self.shared.documents.knows(text);
        if is_small {
            return self.shared.prepare(&schema, request, deadline);
        }
        let shared = Arc::clone(&self.shared);
        let work = move || shared.prepare(&schema, request, deadline);
        let preparing = self.shared.cpu.run(Share::Documents, work);
        match timeout_at(deadline, preparing).await {
            Ok(prepared) => prepared.map_err(one)?,
            Err(_) => Err(one(Error::Timeout)),
        }
    }

    /// Runs a query or a mutation.
    pub async fn execute(&self, prepared: Prepared, caller: Arc<Caller>) -> Response {
        if prepared.kind == OperationType::Subscription {
            let error = Error::bad_request(
                "A subscription needs a WebSocket.",
                "구독에는 WebSocket이 필요합니다.",
            );
            return refusal(&[error], &caller.client);
        }
        let request = match self.request(prepared, &caller) {
            Ok(request) => request,
            Err(error) => return refusal(&[error], &caller.client),
        };
        let answer = AssertUnwindSafe(self.executor.execute(request))
            .catch_unwind()
            .await;
        settle(answer, &caller.client)
    }

    /// The response to a caller without access to one of the root fields: for requests that are not begun then, since
    /// even to begin costs something.
    pub fn barred(&self, prepared: &Prepared, caller: &Caller) -> Option<Response> {
        let types = self.shared.types.read();
        let registry = &types.as_ref()?.registry;
        let root = match prepared.kind {
            OperationType::Query => &registry.query_type,
            OperationType::Mutation => registry.mutation_type.as_ref()?,
            OperationType::Subscription => registry.subscription_type.as_ref()?,
        };
        let definition = &prepared.operation.definition.node;
        let selections = definition.selection_set.node.items.iter();
        let error = selections.into_iter().find_map(|selection| {
            let Selection::Field(field) = &selection.node else {
                return None;
            };
            let access = Access::of_field(registry, root, &field.node.name.node)?;
            let error = self.shared.rights.permits(caller, access).err()?;
            let name = field.node.response_key().node.to_string();
            let path = vec![PathSegment::Field(name)];
            Some(wire(&error, vec![field.pos], path, Some(&caller.client)))
        })?;
        Some(Response::from_errors(vec![error]))
    }

    /// Runs a subscription. For a query or a mutation, the stream is its single response. If it cannot start, the
    /// stream is a single response with errors.
    pub fn stream(&self, prepared: Prepared, caller: Arc<Caller>) -> BoxStream<'static, Event> {
        if prepared.kind != OperationType::Subscription {
            let engine = self.clone();
            return once(async move { engine.execute(prepared, caller).await });
        }
        if let Some(refusal) = self.barred(&prepared, &caller) {
            return once(std::future::ready(refusal));
        }
        if prepared.operation.is_shared {
            return self.share(prepared, caller);
        }
        match self.request(prepared, &caller) {
            Ok(request) => self.follow(request, caller).map(Event::Response).boxed(),
            Err(error) => once(std::future::ready(refusal(&[error], &caller.client))),
        }
    }

    /// The responses of a subscription.
    fn follow(&self, request: Request, caller: Arc<Caller>) -> BoxStream<'static, Response> {
        AssertUnwindSafe(self.executor.execute_stream(request, None))
            .catch_unwind()
            .map(move |answer| settle(answer, &caller.client))
            .boxed()
    }

    fn request(&self, prepared: Prepared, caller: &Arc<Caller>) -> Result<Request> {
        let size = AnswerSize::new(&prepared.account, self.shared.limits.answer)?;
        let time = if prepared.kind == OperationType::Subscription {
            self.shared.limits.request_time
        } else {
            prepared.deadline.saturating_duration_since(Instant::now())
        };
        let run = Run {
            operation: prepared.operation,
            caller: Arc::clone(caller),
            rights: Arc::clone(&self.shared.rights),
            time,
            account: prepared.account,
            objects: prepared.objects,
            _held: prepared.held,
        };
        let answering = Answering {
            size,
            guarded: Arc::clone(&run.operation.guarded),
        };
        let mut request = Request::new(String::new())
            .variables(prepared.variables)
            .data(Arc::clone(caller))
            .data(answering)
            .data(Task::Run(run));
        request.uploads = prepared.uploads;
        Ok((self.shared.equip)(request))
    }

    async fn schema(&self) -> Result<SchemaEnv> {
        let types = &self.shared.types;
        if let Some(schema) = types.read().clone() {
            return Ok(schema);
        }
        let request = Request::new(String::new()).data(Task::Show(Arc::clone(types)));
        self.executor.execute(request).await;
        let shown = types.read().clone();
        shown.ok_or_else(|| Error::internal("the schema was built without the extension Execution"))
    }
}

/// What a subscriber is sent.
#[derive(Debug)]
pub enum Event {
    Response(Response),
    /// A response as JSON, which other subscribers may get too.
    Rendered(Bytes),
}

/// A stream of one response.
fn once(response: impl Future<Output = Response> + Send + 'static) -> BoxStream<'static, Event> {
    stream::once(response).map(Event::Response).boxed()
}

impl Shared {
    /// [`Engine::prepare`], on the calling thread.
    fn prepare(
        &self,
        schema: &SchemaEnv,
        request: RawRequest,
        deadline: Instant,
    ) -> Result<Prepared, Vec<Error>> {
        let one = |error| vec![error];
        let Self {
            limits, documents, ..
        } = self;
        let registry = &schema.registry;

        let document = documents.read(registry, &request.query)?;
        let index = document
            .choose(request.operation_name.as_deref())
            .map_err(one)?;
        let definition = document.operation(index);
        let variables = variables::coerce(
            registry,
            &definition.variable_definitions,
            request.variables,
            request.uploads,
        )?;
        let operation = documents
            .decide(registry, &document, index, &variables)
            .map_err(one)?;
        let objects = cost::check(&operation.costs, &variables, limits).map_err(one)?;
        Ok(Prepared {
            kind: definition.ty,
            root_fields: operation.root_fields.clone(),
            operation,
            variables,
            uploads: Vec::new(),
            account: request.account,
            objects,
            held: Some(request.held),
            deadline,
        })
    }
}

/// The response, also after a panic outside of any field.
fn settle(answer: std::thread::Result<Response>, client: &Client) -> Response {
    match answer {
        Ok(response) => answer::finish(response, client),
        Err(panic) => refusal(&[answer::panicked(panic.as_ref())], client),
    }
}
