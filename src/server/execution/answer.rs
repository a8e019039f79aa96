//! Errors in responses: in the caller's language, with a code, and without internal details.

use std::{any::Any, sync::Arc};

use async_graphql::{PathSegment, Pos, Response, ServerError};

use crate::{
    access::Client,
    error::{Error, Language, short},
};

/// The response to a request that was not executed: only `errors`. Its `data` is null, which transports leave out.
#[must_use]
pub fn refusal(errors: &[Error], client: &Client) -> Response {
    let errors = errors.iter().map(|error| {
        let locations = match error {
            Error::Parse { locations, .. } | Error::Validation { locations, .. } => {
                locations.clone()
            }
            _ => Vec::new(),
        };
        wire(error, locations, Vec::new(), Some(client))
    });
    Response::from_errors(errors.collect())
}

/// `error` at a position of the response. Internal errors are logged here, exactly once.
pub(super) fn wire(
    error: &Error,
    locations: Vec<Pos>,
    path: Vec<PathSegment>,
    client: Option<&Client>,
) -> ServerError {
    let request_id = client.map_or("", |client| client.request_id.as_str());
    match error {
        Error::Internal(cause) => {
            tracing::error!(request_id, path = dotted(&path), cause = ?cause, "a fault of ours");
        }
        Error::Unavailable { backend } => {
            tracing::warn!(
                request_id,
                path = dotted(&path),
                backend,
                "a backend is away"
            );
        }
        _ => {}
    }
    let language = client.map_or(Language::En, |client| client.language);
    ServerError {
        message: error.message(language),
        source: None,
        locations,
        path,
        extensions: Some(error.extensions(language)),
    }
}

/// Converts an error of a resolver, or of async-graphql itself.
pub(super) fn ours(error: &ServerError) -> Error {
    if let Some(error) = error.source::<Error>() {
        return error.clone();
    }
    // An error of a loader, shared by several fields.
    if let Some(error) = error.source::<Arc<Error>>() {
        return Error::clone(error);
    }
    // The beginnings of async-graphql's messages about arguments that cannot be parsed.
    let about_input = ["Failed to parse \"", "Expected input type \""];
    if error.source.is_none() && about_input.iter().any(|s| error.message.starts_with(s)) {
        let message = short(&error.message);
        return Error::bad_request(message.clone(), message);
    }
    Error::internal(error.message.clone())
}

/// Converts a panic into an internal error.
pub(super) fn panicked(payload: &(dyn Any + Send)) -> Error {
    let said = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::internal(format!("panic: {said}"))
}

/// Converts the remaining errors of `response` that never passed a field, such as the failure of a subscription to
/// start. Sorts all errors by their position in the document.
pub(super) fn finish(mut response: Response, client: &Client) -> Response {
    for error in &mut response.errors {
        let is_finished = error
            .extensions
            .as_ref()
            .is_some_and(|values| values.get("code").is_some());
        if !is_finished {
            let locations = std::mem::take(&mut error.locations);
            let path = std::mem::take(&mut error.path);
            *error = wire(&ours(error), locations, path, Some(client));
        }
    }
    response.errors.sort_by_cached_key(|error| {
        let place = error.locations.first().map(|pos| (pos.line, pos.column));
        let indices = error.path.iter().filter_map(|segment| match segment {
            PathSegment::Index(index) => Some(*index),
            PathSegment::Field(_) => None,
        });
        (place, indices.collect::<Vec<_>>())
    });
    response
}

fn dotted(path: &[PathSegment]) -> String {
    let segments = path.iter().map(|segment| match segment {
        PathSegment::Field(name) => name.clone(),
        PathSegment::Index(index) => index.to_string(),
    });
    segments.collect::<Vec<_>>().join(".")
}
