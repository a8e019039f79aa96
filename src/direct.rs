//! Resolves objects at a fraction of async-graphql's cost.
//!
//! For each field of each object, and for each item of each list, the library boxes a future, looks up the type and
//! calls the extensions. A response has hundreds of fields, and nearly all of them are ready at once and succeed. Here
//! fields are polled in place. Only a field that fails, is null or is guarded goes through the library's way, where the
//! extension handles it like any other. Items need no extension, since only their fields can fail.

use std::{
    borrow::Cow,
    future::poll_fn,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
    task::Poll,
};

use async_graphql::{
    ContextSelectionSet, ObjectType, OutputType, Pos, Positioned, ServerError, ServerResult, Value,
    extensions::ResolveInfo,
    indexmap::IndexMap,
    parser::types::{Field, Selection},
    registry::Registry,
};
use futures_util::{FutureExt, TryFutureExt};

use crate::{budget::AnswerSize, error::Error};

/// What objects need to know of the response that they are resolved for. The engine adds it to the request. One value, since
/// each object looks it up.
pub struct Answering {
    pub size: AnswerSize,
    pub guarded: Arc<Guarded>,
}

/// The guarded fields that an operation selects, as pairs of type and field.
#[derive(Clone, Debug, Default)]
pub struct Guarded(Vec<(String, String)>);

impl Guarded {
    /// Notes the field `name` of `parent`.
    pub fn insert(&mut self, parent: &str, name: &str) {
        if !self.has(parent, name) {
            self.0.push((parent.to_owned(), name.to_owned()));
        }
    }

    /// Whether fields of `parent` are among them.
    #[must_use]
    pub fn has_type(&self, parent: &str) -> bool {
        self.0.iter().any(|(ty, _)| ty == parent)
    }

    /// Whether the field `name` of `parent` is among them.
    #[must_use]
    pub fn has(&self, parent: &str, name: &str) -> bool {
        let is_it = |(a, b): &(String, String)| a == parent && b == name;
        self.0.iter().any(is_it)
    }
}

/// An object whose fields are resolved directly. In the schema it has the type of the object.
#[derive(Clone, Debug)]
pub struct Direct<T>(pub T);

impl<T: ObjectType> OutputType for Direct<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn introspection_type_name(&self) -> Cow<'static, str> {
        self.0.introspection_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        match fields_alone(ctx) {
            Some(fields) => {
                let answering = ctx.data_opt::<Answering>();
                object(&self.0, ctx, &fields, answering).boxed().await
            }
            None => self.0.resolve(ctx, field).boxed().await,
        }
    }
}

/// A list of objects that are resolved directly. In the schema it is an ordinary list.
#[derive(Debug)]
pub struct DirectList<'a, T>(pub Vec<&'a T>);

impl<T: ObjectType> OutputType for DirectList<'_, T> {
    fn type_name() -> Cow<'static, str> {
        Vec::<T>::type_name()
    }

    fn qualified_type_name() -> String {
        Vec::<T>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        Vec::<T>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let Some(fields) = fields_alone(ctx) else {
            return self.0.resolve(ctx, field).boxed().await;
        };
        let answering = ctx.data_opt::<Answering>();
        let items = self.0.iter().enumerate().map(|(n, item)| {
            let fields = &fields;
            async move { object(*item, &ctx.with_index(n), fields, answering).await }
        });
        let items = side_by_side(items).boxed().await;
        let items: ServerResult<Vec<_>> = items.into_iter().collect();
        items.map(Value::List)
    }
}

/// The selected fields, if the selection has only fields without directives.
fn fields_alone<'a>(ctx: &ContextSelectionSet<'a>) -> Option<Vec<&'a Positioned<Field>>> {
    let items = ctx.item.node.items.iter().map(|item| match &item.node {
        Selection::Field(field) if field.node.directives.is_empty() => Some(field),
        _ => None,
    });
    items.collect()
}

async fn object<T: ObjectType>(
    object: &T,
    ctx: &ContextSelectionSet<'_>,
    fields: &[&Positioned<Field>],
    answering: Option<&Answering>,
) -> ServerResult<Value> {
    let guarded = answering.map(|answering| &answering.guarded);
    let guarded = guarded.filter(|guarded| guarded.has_type(&T::type_name()));
    let is_guarded = |field: &Positioned<Field>| {
        guarded.is_some_and(|guarded| guarded.has(&T::type_name(), &field.node.name.node))
    };
    let plain = |field| AssertUnwindSafe(resolve(object, ctx, field)).catch_unwind();
    let outcomes = if guarded.is_none() {
        side_by_side(fields.iter().map(|field| plain(field))).await
    } else {
        // Boxed, and apart: the futures of plain fields are large, and stay where they are made only in a loop of their own.
        let outcomes = fields.iter().map(|field| {
            if is_guarded(field) {
                let value = extended::<T>(ctx, field, resolve(object, ctx, field));
                AssertUnwindSafe(value.map_ok(Some)).catch_unwind().boxed()
            } else {
                plain(field).boxed()
            }
        });
        side_by_side(outcomes).await
    };
    let mut object = IndexMap::with_capacity(fields.len());
    let mut bytes = 0;
    for (field, outcome) in fields.iter().zip(outcomes) {
        let value = match outcome {
            // The extensions have seen it, and counted it.
            Ok(value) if is_guarded(field) => value?.unwrap_or_default(),
            Ok(Ok(Some(value))) if value != Value::Null => {
                bytes += answered(&field.node, &value);
                value
            }
            // The extensions count what they see.
            outcome => {
                let outcome = async { outcome.unwrap_or_else(|panic| resume_unwind(panic)) };
                extended::<T>(ctx, field, outcome).boxed().await?
            }
        };
        object.insert(field.node.response_key().node.clone(), value);
    }
    if let Some(Answering { size, .. }) = answering {
        size.add(bytes).map_err(|e| at(e, ctx.item.pos))?;
    }
    Ok(Value::Object(object))
}

/// `error` as the library's type, with its position.
#[must_use]
pub fn at(error: Error, pos: Pos) -> ServerError {
    async_graphql::Error::new_with_source(error).into_server_error(pos)
}

/// The bytes that a field adds to the response, roughly: its key and its own value. Values below it have been counted
/// before.
#[must_use]
pub fn answered(field: &Field, value: &Value) -> usize {
    /// Quotes, a colon and a comma; or a number or boolean.
    const MARKS: usize = 8;
    let own = |value: &Value| match value {
        Value::String(text) => text.len() + MARKS,
        Value::Object(_) | Value::List(_) => 0,
        _ => MARKS,
    };
    let value = match value {
        Value::List(items) => items.iter().map(own).sum(),
        value => own(value),
    };
    field.response_key().node.len() + MARKS + value
}

async fn resolve<T: ObjectType>(
    object: &T,
    ctx: &ContextSelectionSet<'_>,
    field: &Positioned<Field>,
) -> ServerResult<Option<Value>> {
    if field.node.name.node == "__typename" {
        let name = object.introspection_type_name();
        return Ok(Some(Value::String(name.into_owned())));
    }
    object.resolve_field(&ctx.with_field(field)).await
}

/// The outputs of the futures. Pending ones are polled once a round, since loaders count rounds.
async fn side_by_side<F: Future>(futures: impl ExactSizeIterator<Item = F>) -> Vec<F::Output> {
    let mut outputs = Vec::with_capacity(futures.len());
    let mut waiting = Vec::new();
    let mut first_round = Some(futures);
    poll_fn(|task| {
        if let Some(futures) = first_round.take() {
            for (n, future) in futures.enumerate() {
                let mut future = Box::pin(future);
                match future.as_mut().poll(task) {
                    Poll::Ready(output) => outputs.push(Some(output)),
                    Poll::Pending => {
                        outputs.push(None);
                        waiting.push((n, future));
                    }
                }
            }
        } else {
            waiting.retain_mut(|(n, future)| match future.as_mut().poll(task) {
                Poll::Ready(output) => {
                    outputs[*n] = Some(output);
                    false
                }
                Poll::Pending => true,
            });
        }
        if waiting.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// The value of a field after the extensions have handled `resolving`.
async fn extended<T: ObjectType>(
    ctx: &ContextSelectionSet<'_>,
    field: &Positioned<Field>,
    resolving: impl Future<Output = ServerResult<Option<Value>>> + Send,
) -> ServerResult<Value> {
    let ctx = ctx.with_field(field);
    let name = field.node.name.node.as_str();
    let parent_type = T::type_name();
    let return_type = ctx
        .schema_env
        .registry
        .types
        .get(&*parent_type)
        .and_then(|parent| parent.field_by_name(name))
        .map(|field| &field.ty);
    let (Some(path_node), Some(return_type)) = (&ctx.path_node, return_type) else {
        let message = format!("There is no field {name} of {parent_type}.");
        return Err(ServerError::new(message, Some(field.pos)));
    };
    let info = ResolveInfo {
        path_node,
        parent_type: &parent_type,
        return_type,
        name,
        alias: field.node.alias.as_ref().map(|alias| alias.node.as_str()),
        is_for_introspection: false,
        field: &field.node,
    };
    let mut resolving = resolving.boxed();
    let value = ctx
        .query_env
        .extensions
        .resolve(info, &mut resolving)
        .await?;
    Ok(value.unwrap_or_default())
}
