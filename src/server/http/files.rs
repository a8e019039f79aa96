//! Downloads: `/files/{id}`, by a signed address or a bearer token. Whoever may not read a file is told that there is none.

use axum::{
    Router,
    body::Body,
    extract::{Query, Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use headers::{
    ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince,
    LastModified,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use http_range_header::StartPosition;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::credentials;
use crate::{
    access::{Access, Actor},
    blobs::BlobPath,
    clock::Timestamp,
    error::{Error, Result},
    files::{
        self, Attachment, FileName, MediaType, readable,
        url::{self, Viewer},
    },
    ids::FileId,
    server::net::Net,
};

/// Nothing in a file may run or load anything, whatever a browser takes it for.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// What need not be encoded in an extended parameter (RFC 8187, `attr-char`).
const NOT_OF_ATTRIBUTES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `/files/{id}`.
pub fn routes(net: Net) -> Router {
    Router::new()
        .route("/files/{id}", get(file))
        .with_state(net)
}

async fn file(State(net): State<Net>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answered = async {
        let found = found(&net, &parts).await?;
        respond(&net, &parts, found).await
    };
    answered.await.unwrap_or_else(|error| refusal(&error))
}

/// A file, or its thumbnail, that may be read.
struct Found {
    path: BlobPath,
    /// Unknown of a thumbnail.
    size: Option<u64>,
    media: MediaType,
    name: FileName,
    tag: String,
    created_at: Timestamp,
    cache: HeaderValue,
}

async fn found(net: &Net, parts: &Parts) -> Result<Found> {
    let app = &net.app;
    let id = parts.uri.path().trim_start_matches("/files/");
    let id = FileId::parse(id).map_err(|_| Error::NotFound)?;
    let query = Query::<url::Query>::try_from_uri(&parts.uri);
    let Query(query) = query.map_err(|_| Error::NotFound)?;
    let is_strict = app.config.files_strict.is_on();
    let signed = url::verify(app, id, &query);
    let (file, is_fresh) = match signed.map(|signed| signed.viewer) {
        Some(_) if !is_strict => (readable::attached(app, id).await?, true),
        Some(Viewer::SignedIn(session)) => {
            let actor = Actor::SignedIn(app.rights.of(session).await?);
            (readable::readable(app, actor, id).await?, false)
        }
        Some(Viewer::Anonymous) => (read_as(net, Actor::Anonymous, id).await?, false),
        None => {
            let authenticator = &*net.authenticator;
            let actor = credentials::actor(authenticator, &parts.headers, &[]).await?;
            (read_as(net, actor, id).await?, false)
        }
    };
    // A browser need not ask again as long as the address is valid, unless each time counts.
    let cache = match signed.filter(|_| is_fresh) {
        Some(signed) => value(format!("private, max-age={}", signed.left))?,
        None => HeaderValue::from_static("private, no-cache"),
    };
    thumbnail_or_whole(file, query.size, cache).ok_or(Error::NotFound)
}

async fn read_as(net: &Net, actor: Actor, id: FileId) -> Result<Attachment> {
    Access::Reader.permits(&actor, net.app.config.public_read.is_on())?;
    readable::readable(&net.app, actor, id).await
}

fn thumbnail_or_whole(file: Attachment, size: Option<u32>, cache: HeaderValue) -> Option<Found> {
    Some(match size {
        None => Found {
            path: files::path(file.id),
            size: u64::try_from(file.size).ok(),
            media: file.content_type,
            name: file.name,
            tag: file.id.to_string(),
            created_at: file.created_at,
            cache,
        },
        Some(size) => {
            let size = file.thumbnail(size)?;
            Found {
                path: files::thumbnail_path(file.id, size),
                size: None,
                media: file.thumbnail_type?,
                name: file.name,
                tag: format!("{}-{size}", file.id),
                created_at: file.created_at,
                cache,
            }
        }
    })
}

async fn respond(net: &Net, parts: &Parts, found: Found) -> Result<Response> {
    let blobs = &net.app.blobs;
    let asked = &parts.headers;
    let etag: ETag = format!("\"{}\"", found.tag)
        .parse()
        .map_err(|_| Error::internal("an id makes no ETag"))?;
    let seconds = u64::try_from(found.created_at.seconds()).unwrap_or_default();
    let created = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let mut headers = headers(&found, &etag, created)?;
    match condition(asked, &etag, created) {
        Some(StatusCode::NOT_MODIFIED) => {
            headers.remove(header::CONTENT_TYPE);
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
        Some(status) => return Ok(status.into_response()),
        None => {}
    }
    let size = match found.size {
        Some(size) => size,
        None => blobs.size(&found.path).await?,
    };
    let last_modified = LastModified::from(created);
    let if_range = asked.typed_get::<IfRange>();
    let is_current =
        if_range.is_none_or(|given| !given.is_modified(Some(&etag), Some(&last_modified)));
    let range = asked.get(header::RANGE).filter(|_| is_current);
    let range = match range.map(|range| part(range, size)) {
        None | Some(Part::Whole) => None,
        Some(Part::Range(range)) => Some(range),
        Some(Part::None) => {
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_DISPOSITION);
            headers.insert(header::CONTENT_RANGE, value(format!("bytes */{size}"))?);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response());
        }
    };
    let (status, length) = match &range {
        None => (StatusCode::OK, size),
        Some(range) => {
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            headers.insert(header::CONTENT_RANGE, value(text)?);
            (StatusCode::PARTIAL_CONTENT, range.end - range.start)
        }
    };
    headers.insert(header::CONTENT_LENGTH, length.into());
    if parts.method == Method::HEAD {
        return Ok((status, headers).into_response());
    }
    let blob = blobs.read(&found.path, range).await?;
    if blob.range.end - blob.range.start != length {
        return Err(Error::internal(format!("{} has another size", found.path)));
    }
    // An error in the middle breaks the connection, so that nobody takes a part for the whole.
    let content = futures_util::TryStreamExt::map_err(blob.content, |error| error.to_string());
    Ok((status, headers, Body::from_stream(content)).into_response())
}

/// The status by the conditions of the request, if it is not to be answered with the file (RFC 9110, 13.2.2).
fn condition(asked: &HeaderMap, etag: &ETag, created: std::time::SystemTime) -> Option<StatusCode> {
    let if_match = asked.typed_get::<IfMatch>();
    let passes = match (if_match, asked.typed_get::<IfUnmodifiedSince>()) {
        (Some(given), _) => given.precondition_passes(etag),
        (None, Some(since)) => since.precondition_passes(created),
        (None, None) => true,
    };
    if !passes {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let is_new = match (
        asked.typed_get::<IfNoneMatch>(),
        asked.typed_get::<IfModifiedSince>(),
    ) {
        (Some(given), _) => given.precondition_passes(etag),
        (None, Some(since)) => since.is_modified(created),
        (None, None) => true,
    };
    (!is_new).then_some(StatusCode::NOT_MODIFIED)
}

enum Part {
    Whole,
    Range(std::ops::Range<u64>),
    /// No part of the file.
    None,
}

/// The part that is asked for. What is no range of bytes is ignored, and so are several ranges at once.
fn part(range: &HeaderValue, size: u64) -> Part {
    let parsed = range
        .to_str()
        .ok()
        .and_then(|text| http_range_header::parse_range_header(text).ok());
    let Some(parsed) = parsed else {
        return Part::Whole;
    };
    // A range that begins behind the end is none; one that ends before it begins is invalid.
    let is_behind = match parsed.ranges.as_slice() {
        [range] => match range.start {
            StartPosition::Index(start) => start >= size,
            StartPosition::FromLast(length) => length == 0 || size == 0,
        },
        _ => false,
    };
    match parsed.validate(size) {
        Ok(ranges) => match ranges.as_slice() {
            [range] => Part::Range(*range.start()..range.end() + 1),
            _ => Part::Whole,
        },
        Err(_) if is_behind => Part::None,
        Err(_) => Part::Whole,
    }
}

fn headers(found: &Found, etag: &ETag, created: std::time::SystemTime) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let media = found.media.as_str();
    let media = match found.media.is_text() {
        true => value(format!("{media}; charset=utf-8"))?,
        false => value(media.to_owned())?,
    };
    headers.insert(header::CONTENT_TYPE, media);
    headers.insert(header::CONTENT_DISPOSITION, value(disposition(found))?);
    headers.insert(header::CACHE_CONTROL, found.cache.clone());
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(CONTENT_SECURITY_POLICY),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.typed_insert(etag.clone());
    headers.typed_insert(LastModified::from(created));
    Ok(headers)
}

/// Whether a browser may show it, and its name: in ASCII for old programs, and in UTF-8 (RFC 6266).
fn disposition(found: &Found) -> String {
    let kind = if found.media.is_shown() {
        "inline"
    } else {
        "attachment"
    };
    let name = found.name.as_str();
    let plain: String = name
        .chars()
        .map(|c| match c {
            ' '..='~' if !matches!(c, '"' | '\\' | '%') => c,
            _ => '_',
        })
        .collect();
    let encoded = utf8_percent_encode(name, NOT_OF_ATTRIBUTES);
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

fn value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|error| Error::internal(error))
}

/// A refusal of any kind looks the same. Only a backend that is away is told.
fn refusal(error: &Error) -> Response {
    let (status, text) = match error {
        Error::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not available now\n"),
        Error::Internal(cause) => {
            tracing::error!(%cause, "a file cannot be sent");
            (StatusCode::INTERNAL_SERVER_ERROR, "something went wrong\n")
        }
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, text).into_response()
}
