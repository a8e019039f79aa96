//! Makes execution follow the specification (6.4.4) where async-graphql does not: a nullable field that fails is null
//! beside its error, its siblings stay, the next mutation runs, and the path of an error is complete.
//!
//! Each error is reported once, by the innermost field or list item that it passes, which alone knows the whole path.
//! From there up to the nearest nullable position, only the mark [`Told`] is passed on.

use std::{
    any::Any, collections::BTreeSet, mem, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use async_graphql::{
    PathSegment, QueryPathNode, QueryPathSegment, Response, SchemaEnv, ServerError, ServerResult,
    ValidationResult, Value, Variables,
    extensions::{
        Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextResolve,
        NextValidation, ResolveInfo,
    },
    parser::types::{DocumentOperations, ExecutableDocument, OperationType},
};
use futures_util::FutureExt;
use parking_lot::{Mutex, RwLock};

use super::{
    Rights,
    answer::{ours, panicked, wire},
    documents::Operation,
    guards::Requirement,
    variables,
};
use crate::{
    access::{Caller, Client},
    budget::{self, Account, AnswerSize, Held, Turn, Turning},
    direct::{Answering, answered, at},
    error::Error,
    loader::Loaders,
};

/// The extension that every schema behind an [`Engine`](super::Engine) carries.
pub struct Execution;

impl ExtensionFactory for Execution {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Running::default())
    }
}

/// What the engine asks a schema to do, passed in the data of its request.
pub(super) enum Task {
    /// Return the schema's types, which an executor does not expose otherwise. Nothing is executed.
    Show(Arc<RwLock<Option<SchemaEnv>>>),
    Run(Run),
}

/// An operation that is ready to run.
pub(super) struct Run {
    pub operation: Arc<Operation>,
    pub caller: Arc<Caller>,
    pub rights: Arc<dyn Rights>,
    /// How long it may take, or each event of a subscription.
    pub time: Duration,
    pub account: Account,
    /// How many objects it asks for, or each event of a subscription.
    pub objects: u64,
    /// What its variables take.
    pub _held: Option<Held>,
}

impl Run {
    async fn turn(&self) -> Turn<'_> {
        let turning = match self.operation.definition.node.ty {
            OperationType::Subscription => Turning::Event,
            OperationType::Query | OperationType::Mutation => Turning::Request,
        };
        self.account.turn(turning, self.objects).await
    }
}

/// Marks an error that has been reported already.
struct Told;

/// What fields have reported since the last response. One for each request or subscription.
#[derive(Default)]
struct Running {
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    errors: Vec<ServerError>,
    withheld: BTreeSet<String>,
    /// Whether it has been reported that the response is too large.
    is_over: bool,
}

/// The position of a field or list item.
struct Place<'a> {
    node: &'a QueryPathNode<'a>,
    pos: async_graphql::Pos,
    is_nullable: bool,
    /// As in "User.email". List items have none.
    coordinate: Option<(&'a str, &'a str)>,
}

impl<'a> Place<'a> {
    fn of(info: &ResolveInfo<'a>) -> Self {
        let is_item = matches!(info.path_node.segment, QueryPathSegment::Index(_));
        Self {
            node: info.path_node,
            pos: info.field.response_key().pos,
            // async-graphql reports a wrong type for items. But a nullable item (an Option) catches errors below it
            // itself, so an error that gets here comes from a non-null item.
            is_nullable: !is_item && !info.return_type.ends_with('!'),
            coordinate: (!is_item).then_some((info.parent_type, info.name)),
        }
    }

    fn path(&self) -> Vec<PathSegment> {
        let mut path: Vec<_> = std::iter::once(self.node)
            .chain(self.node.parents())
            .map(|node| match node.segment {
                QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
                QueryPathSegment::Index(index) => PathSegment::Index(index),
            })
            .collect();
        path.reverse();
        path
    }
}

impl Running {
    /// Null if the position is nullable; otherwise the mark that makes its parent null.
    fn nothing(place: &Place<'_>) -> ServerResult<Option<Value>> {
        if place.is_nullable {
            return Ok(Some(Value::Null));
        }
        let mut told = ServerError::new("", None);
        told.source = Some(Arc::new(Told));
        Err(told)
    }

    /// Reports `error`, or notes that the field is withheld.
    fn tell(&self, error: &Error, place: &Place<'_>, client: Option<&Client>) {
        if let (Error::Withheld, true, Some((parent, name))) =
            (error, place.is_nullable, place.coordinate)
        {
            let coordinate = format!("{parent}.{name}");
            self.found.lock().withheld.insert(coordinate);
            return;
        }
        let error = wire(error, vec![place.pos], place.path(), client);
        self.found.lock().errors.push(error);
    }

    fn outcome(
        &self,
        outcome: Result<ServerResult<Option<Value>>, Box<dyn Any + Send>>,
        place: &Place<'_>,
        client: Option<&Client>,
        size: Option<&AnswerSize>,
    ) -> ServerResult<Option<Value>> {
        let error = match outcome {
            Ok(Ok(value)) => {
                let value = value.unwrap_or_default();
                if value != Value::Null || place.is_nullable || place.coordinate.is_none() {
                    return Ok(Some(value));
                }
                Error::internal("null where the schema promises a value")
            }
            Ok(Err(error)) if error.source::<Told>().is_some() => return Self::nothing(place),
            Ok(Err(error)) => ours(&error),
            Err(panic) => panicked(panic.as_ref()),
        };
        // If the response is too large, that is reported once, not for each row.
        let is_over = size.is_some_and(AnswerSize::is_over) || budget::is_over(&error);
        if !(is_over && mem::replace(&mut self.found.lock().is_over, true)) {
            self.tell(&error, place, client);
        }
        Self::nothing(place)
    }
}

fn run<'a>(ctx: &ExtensionContext<'a>) -> Option<&'a Run> {
    match ctx.data_opt::<Task>() {
        Some(Task::Run(run)) => Some(run),
        _ => None,
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for Running {
    /// Passes on the document that the engine has prepared.
    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        match ctx.data_opt::<Task>() {
            None => next.run(ctx, query, variables).await,
            Some(Task::Show(types)) => {
                *types.write() = Some(ctx.schema_env.clone());
                Err(ServerError::new("Nothing was asked to run.", None))
            }
            Some(Task::Run(run)) => {
                let mut operation = run.operation.definition.clone();
                variables::without_absent(&mut operation.node, variables);
                Ok(ExecutableDocument {
                    operations: DocumentOperations::Single(operation),
                    fragments: Default::default(),
                })
            }
        }
    }

    /// The engine has validated the document already.
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        if run(ctx).is_none() {
            return next.run(ctx).await;
        }
        Ok(ValidationResult {
            cache_control: Default::default(),
            complexity: 0,
            depth: 0,
        })
    }

    /// Runs a query, a mutation, or the selection on one event of a subscription.
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let run = run(ctx);
        let loaders = ctx.data_opt::<Loaders>();
        let size = ctx.data_opt::<Answering>().map(|answering| &answering.size);
        let answer = async {
            let _turn = match run {
                Some(run) => Some(run.turn().await),
                None => None,
            };
            let answer = next.run(ctx, operation_name);
            match loaders {
                Some(loaders) => loaders.rounds.drive(answer).await,
                None => answer.await,
            }
        };
        let answer = match run {
            Some(run) => tokio::time::timeout(run.time, answer).await.ok(),
            None => Some(answer.await),
        };
        let found = mem::take(&mut *self.found.lock());
        // The next event of a subscription is another response. Whoever sends this one holds its bytes from here on.
        let is_over = size.is_some_and(AnswerSize::is_over);
        if let Some(size) = size {
            size.begin();
        }
        let Some(mut response) = answer else {
            let client = run.map(|run| &run.caller.client);
            return Response::from_errors(vec![wire(
                &Error::Timeout,
                Vec::new(),
                Vec::new(),
                client,
            )]);
        };
        let mut is_over_told = found.is_over;
        response.errors.retain(|error| {
            let is_over = |e: &Error| is_over || budget::is_over(e);
            if error.source::<Error>().is_some_and(is_over) {
                return !mem::replace(&mut is_over_told, true);
            }
            error.source::<Told>().is_none()
        });
        response.errors.extend(found.errors);
        if !found.withheld.is_empty() {
            let coordinates = found.withheld.into_iter().map(Value::String).collect();
            response
                .extensions
                .insert("withheld".to_owned(), Value::List(coordinates));
        }
        response
    }

    /// Resolves a field or a list item.
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let size = ctx.data_opt::<Answering>().map(|answering| &answering.size);
        let field = info.field;
        let field_pos = field.response_key().pos;
        if info.is_for_introspection {
            let value = next.run(ctx, info).await?;
            return match (size, &value) {
                (Some(size), Some(known)) => size
                    .add(answered(field, known))
                    .map(|()| value)
                    .map_err(|e| at(e, field_pos)),
                _ => Ok(value),
            };
        }
        let run = run(ctx);
        let client = run.map(|run| &run.caller.client);
        let place = Place::of(&info);
        let is_mutation = info.path_node.parent.is_none()
            && ctx.schema_env.registry.mutation_type.as_deref() == Some(info.parent_type);
        if let (Some(run), true) = (run, is_mutation)
            && let Err(error) = run.rights.refresh(&run.caller, info.name).await
        {
            self.tell(&error, &place, client);
            return Self::nothing(&place);
        }
        let required = Requirement::of(ctx.schema_env, run, &info);
        let mut outcome = match required.check(run) {
            Ok(()) => {
                let resolving = required.shown(next.run(ctx, info));
                let outcome = AssertUnwindSafe(resolving).catch_unwind().await;
                outcome.map(|shown| shown.unwrap_or_else(|error| Err(at(error, place.pos))))
            }
            Err(error) => Ok(Err(at(error, place.pos))),
        };
        if let (Some(size), Ok(Ok(Some(value)))) = (size, &outcome)
            && let Err(error) = size.add(answered(field, value))
        {
            outcome = Ok(Err(at(error, place.pos)));
        }
        self.outcome(outcome, &place, client, size)
    }
}
