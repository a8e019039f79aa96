//! Requests with files, after the GraphQL multipart request specification:
//! <https://github.com/jaydenseric/graphql-multipart-request-spec>. First `operations`, then `map`, then the files.
//!
//! Files are written to temporary files without names, so that memory does not grow with them, and nothing is left when
//! the client or the server goes away. The request runs once all of it has arrived.

mod map;
mod sips;
mod temporary;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::UploadValue;
use axum::body::{Body, Bytes};
use http::{HeaderMap, header};
use multer::{Field, Multipart};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout, timeout_at};

use self::{
    sips::{Sips, UNPARSED},
    temporary::Temporary,
};
use super::body;
use crate::{
    budget::Arriving,
    config::Config,
    error::{Error, Result, short},
    server::net::Uploading,
};

/// Files that arrive more slowly than this, in bytes a second, are given up.
const SLOWEST: u64 = 16 << 10;
/// How fast the store of bytes is at least, in bytes a second: it adds to the time of a request.
const KEPT_PER_SECOND: u64 = 1 << 20;

/// A request with files that is being read.
pub struct Form {
    multipart: Multipart<'static>,
    body: Arc<Mutex<Body>>,
    unparsed: Arc<AtomicUsize>,
    /// The names of the parts with files, in the order of the map.
    names: Vec<String>,
    folder: PathBuf,
    /// `Content-Length`.
    announced: Option<u64>,
    /// Counts the files until they are kept, or dropped.
    uploading: Option<Uploading>,
    /// Counts operations and map.
    arriving: Arriving,
    most: Most,
    is_whole: bool,
}

/// The limits of a form.
#[derive(Clone, Copy)]
struct Most {
    /// Bytes of operations and map together.
    body: usize,
    /// What is left of these.
    parameters: usize,
    /// How long they may take.
    time: Duration,
    files: usize,
    /// Bytes of one file.
    file: u64,
    /// How long a client may pause.
    pause: Duration,
}

/// Files that have arrived.
pub struct Received {
    pub files: Vec<UploadValue>,
    /// How long it may take to run the request.
    pub time: Duration,
}

impl Form {
    /// A form with this boundary, of which nothing has been read.
    pub fn new(
        config: &Config,
        headers: &HeaderMap,
        body: Body,
        boundary: String,
        arriving: Arriving,
    ) -> Self {
        let limits = &config.limits;
        let announced = headers.get(header::CONTENT_LENGTH);
        let body = Arc::new(Mutex::new(body));
        let unparsed = Arc::new(AtomicUsize::new(0));
        let sips = Sips {
            body: Arc::clone(&body),
            unparsed: Arc::clone(&unparsed),
            has_given: false,
        };
        Self {
            multipart: Multipart::new(sips, boundary),
            body,
            unparsed,
            names: Vec::new(),
            folder: config.volume_dir.clone(),
            announced: announced.and_then(|length| length.to_str().ok()?.parse().ok()),
            uploading: None,
            arriving,
            most: Most {
                body: limits.body,
                parameters: limits.body,
                time: limits.request_time,
                files: limits.uploads,
                file: config.max_file_size,
                pause: limits.read_time,
            },
            is_whole: false,
        }
    }

    /// How many files the map names.
    pub fn files(&self) -> usize {
        self.names.len()
    }

    /// The part `operations`, which is the first.
    ///
    /// # Errors
    /// `BAD_REQUEST`; `TOO_LARGE`; `TIMEOUT`.
    pub async fn operations(&mut self) -> Result<Vec<u8>> {
        let time = self.most.time;
        let operations = self.parameter("operations", self.most.parameters);
        timeout(time, operations)
            .await
            .map_err(|_| Error::Timeout)?
    }

    /// The part `map`, which is the second.
    ///
    /// # Errors
    /// As [`Form::operations`].
    pub async fn map(&mut self) -> Result<Vec<u8>> {
        let time = self.most.time;
        let map = self.parameter("map", self.most.parameters);
        timeout(time, map).await.map_err(|_| Error::Timeout)?
    }

    /// Puts a reference to each file where `map` says in `operations`.
    ///
    /// # Errors
    /// `BAD_REQUEST`; `LIMIT_EXCEEDED` for too many files.
    pub fn apply(&mut self, map: &[u8], operations: &mut Map<String, Value>) -> Result<()> {
        self.names = map::apply(map, operations, self.most.files)?;
        Ok(())
    }

    /// Takes files of up to so many bytes each.
    pub fn allow(&mut self, bytes: u64) {
        self.most.file = bytes;
    }

    /// Receives the files, which `uploading` counts as long as this form is there.
    ///
    /// # Errors
    /// `BAD_REQUEST`; `TOO_LARGE` as soon as a file is; `LIMIT_EXCEEDED` when a user sends too much at once; `TIMEOUT` for a
    /// client that is too slow; `UNAVAILABLE` when they cannot be written.
    pub async fn receive(&mut self, uploading: Option<Uploading>) -> Result<Received> {
        self.uploading = uploading;
        let Most {
            file: most, pause, ..
        } = self.most;
        let too_large = Error::TooLarge { limit: most };
        let files = self.names.len() as u64;
        let largest = self.most.body as u64 + files * (most + UNPARSED as u64);
        if self.announced.is_some_and(|length| length > largest) {
            return Err(too_large);
        }
        let mut pace = Pace::new(self.most.time, pause);
        let numbers: HashMap<_, _> = (self.names.iter().cloned()).zip(0..).collect();
        let mut received: Vec<Option<UploadValue>> = self.names.iter().map(|_| None).collect();
        while let Some(mut field) = pace.wait(self.next()).await?? {
            let name = field.name().unwrap_or_default();
            let free = numbers.get(name).map(|n: &usize| &mut received[*n]);
            let Some(free) = free.filter(|free| free.is_none()) else {
                return Err(Error::bad_request(
                    format!(
                        "The part \"{}\" is not in the map, or comes twice.",
                        short(name)
                    ),
                    format!("\"{}\" 파트가 map에 없거나 두 번 있습니다.", short(name)),
                ));
            };
            let filename = filename(&field);
            let content_type = field.content_type().map(ToString::to_string);
            let mut content = Temporary::new(&self.folder);
            let mut size = 0;
            while let Some(bytes) = pace.wait(self.chunk(&mut field)).await?? {
                size += bytes.len() as u64;
                if size > most {
                    return Err(too_large);
                }
                pace.received += bytes.len() as u64;
                if let Some(uploading) = &mut self.uploading {
                    uploading.add(bytes.len() as u64)?;
                }
                content.push(&bytes).await?;
            }
            *free = Some(UploadValue {
                filename,
                content_type,
                content: content.end().await?,
            });
        }
        self.is_whole = true;
        let missing = received.iter().position(Option::is_none);
        if let Some(name) = missing.and_then(|n| self.names.get(n)) {
            return Err(Error::bad_request(
                format!("The part \"{}\" is missing.", short(name)),
                format!("\"{}\" 파트가 없습니다.", short(name)),
            ));
        }
        Ok(Received {
            files: received.into_iter().flatten().collect(),
            time: self.most.time + Duration::from_secs(pace.received / KEPT_PER_SECOND),
        })
    }

    /// Reads and discards what is left, for some seconds: a client reads the response only after sending everything.
    pub async fn end(self) {
        if self.is_whole {
            return;
        }
        drop(self.multipart);
        // The parser is gone, so nobody else has it.
        if let Some(rest) = Arc::into_inner(self.body) {
            body::discard(rest.into_inner()).await;
        }
    }

    /// The part `name`, which must be the next one.
    async fn parameter(&mut self, name: &'static str, most: usize) -> Result<Vec<u8>> {
        let field = self
            .next()
            .await?
            .filter(|field| field.name() == Some(name));
        let mut field = field.ok_or_else(|| {
            Error::bad_request(
                format!("The part \"{name}\" is missing: first come operations, then map, then the files."),
                format!("\"{name}\" 파트가 없습니다. operations, map, 파일 순서로 보내 주세요."),
            )
        })?;
        let mut whole = Vec::new();
        while let Some(bytes) = self.chunk(&mut field).await? {
            if whole.len() + bytes.len() > most {
                return Err(Error::TooLarge { limit: most as u64 });
            }
            self.arriving.add(bytes.len())?;
            whole.extend_from_slice(&bytes);
        }
        self.most.parameters = most - whole.len();
        Ok(whole)
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>> {
        let field = self.multipart.next_field().await.map_err(broken)?;
        self.unparsed.store(0, Ordering::Relaxed);
        Ok(field)
    }

    async fn chunk(&self, field: &mut Field<'static>) -> Result<Option<Bytes>> {
        let bytes = field.chunk().await.map_err(broken)?;
        self.unparsed.store(0, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// How fast files arrive.
struct Pace {
    began: Instant,
    /// The time that a form has, whatever its size.
    time: Duration,
    pause: Duration,
    /// Bytes so far.
    received: u64,
}

impl Pace {
    fn new(time: Duration, pause: Duration) -> Self {
        Self {
            began: Instant::now(),
            time,
            pause,
            received: 0,
        }
    }

    /// What comes next, unless that takes too long.
    async fn wait<T>(&self, next: impl Future<Output = T>) -> Result<T> {
        let due = self.time + Duration::from_secs(self.received / SLOWEST);
        let until = (self.began + due).min(Instant::now() + self.pause);
        timeout_at(until, next).await.map_err(|_| Error::Timeout)
    }
}

/// What the client calls the file, or nothing.
fn filename(field: &Field<'static>) -> String {
    let disposition = field.headers().get(header::CONTENT_DISPOSITION);
    let disposition = disposition.map(|value| String::from_utf8_lossy(value.as_bytes()));
    // Some libraries send names beyond ASCII this way (RFC 8187), which the parser does not read.
    let extended = disposition.as_ref().and_then(|disposition| {
        let mut parameters = disposition.split(';').map(str::trim);
        let value = parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.eq_ignore_ascii_case("filename*").then_some(value)
        })?;
        let (charset, rest) = value.split_once('\'')?;
        let (_, encoded) = rest.split_once('\'')?;
        let is_utf8 = charset.eq_ignore_ascii_case("utf-8");
        is_utf8.then(|| percent_decode_str(encoded).decode_utf8_lossy().into_owned())
    });
    let plain = || {
        let name = field.file_name().unwrap_or_default();
        // Some libraries encode names beyond ASCII like paths, and browsers encode quotes.
        match percent_decode_str(name).decode_utf8() {
            Ok(decoded) if name.is_ascii() && !decoded.is_ascii() => decoded.into_owned(),
            _ => name.replace("%22", "\""),
        }
    };
    extended.unwrap_or_else(plain)
}

fn broken(error: multer::Error) -> Error {
    let sentence = short(&error);
    Error::bad_request(
        format!("The form cannot be read: {sentence}."),
        format!("multipart 본문을 읽을 수 없습니다: {sentence}."),
    )
}
