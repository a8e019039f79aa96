//! Requests with files, after the GraphQL multipart request specification:
//! <https://github.com/jaydenseric/graphql-multipart-request-spec>. First `operations`, then `map`, then the files.
//!
//! Files are written to temporary files without names, so that memory does not grow with them, and nothing is left when
//! the client or the server goes away. The request runs once all of it has arrived.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_graphql::UploadValue;
use axum::body::{Body, Bytes};
use futures_util::Stream;
use http::{HeaderMap, header};
use http_body::Body as _;
use multer::{Field, Multipart};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::body;
use crate::{
    config::Config,
    error::{Error, Result, short},
    server::execution::UPLOAD,
};

/// The most bytes that the parser may hold without finding the end of anything, such as of a part's headers. Twice what
/// a connection buffers.
const UNPARSED: usize = 128 << 10;
/// Bytes of a file that wait to be written.
const BUFFER: usize = 256 << 10;
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
    most: Most,
    is_whole: bool,
}

/// The limits of a form.
#[derive(Clone, Copy)]
struct Most {
    /// Bytes of operations and map together.
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
    pub fn new(config: &Config, headers: &HeaderMap, body: Body, boundary: String) -> Self {
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
            most: Most {
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

    /// Reads the part `map`, which is the second, and puts a reference to each file where the map says in `operations`.
    ///
    /// # Errors
    /// As [`Form::operations`]; `LIMIT_EXCEEDED` for too many files.
    pub async fn map(&mut self, operations: &mut Map<String, Value>) -> Result<()> {
        let time = self.most.time;
        let map = self.parameter("map", self.most.parameters);
        let map = timeout(time, map).await.map_err(|_| Error::Timeout)??;
        let Entries(entries) = serde_json::from_slice(&map).map_err(|error| {
            Error::bad_request(
                format!("The map is not an object of lists of paths: {error}."),
                format!("map은 경로 목록으로 된 객체여야 합니다: {error}."),
            )
        })?;
        if entries.len() > self.most.files {
            return Err(Error::LimitExceeded {
                what: "uploads",
                limit: self.most.files as u64,
            });
        }
        let mut names = HashSet::new();
        for (n, (name, paths)) in entries.iter().enumerate() {
            let [path] = paths.as_slice() else {
                return Err(wrong(
                    format!(
                        "maps the part \"{}\" to {} paths instead of one",
                        short(name),
                        paths.len()
                    ),
                    format!("\"{}\" 파트의 경로가 {}개입니다", short(name), paths.len()),
                ));
            };
            if !names.insert(name) {
                return Err(wrong(
                    format!("names the part \"{}\" twice", short(name)),
                    format!("\"{}\" 파트가 두 번 있습니다", short(name)),
                ));
            }
            let place = place(operations, path).filter(|place| place.is_null());
            let place = place.ok_or_else(|| {
                wrong(
                    format!(
                        "has the path \"{}\", where no null is, or which another file took",
                        short(path)
                    ),
                    format!(
                        "\"{}\" 경로에 null이 없거나 다른 파일이 이미 있습니다",
                        short(path)
                    ),
                )
            })?;
            *place = Value::String(format!("{UPLOAD}{n}"));
        }
        self.names = entries.into_iter().map(|(name, _)| name).collect();
        Ok(())
    }

    /// Receives the files.
    ///
    /// # Errors
    /// `BAD_REQUEST`; `TOO_LARGE` as soon as a file is; `TIMEOUT` for a client that is too slow; `UNAVAILABLE` when they
    /// cannot be written.
    pub async fn receive(&mut self) -> Result<Received> {
        let Most {
            file: most, pause, ..
        } = self.most;
        let too_large = Error::TooLarge { limit: most };
        let files = self.names.len() as u64;
        let largest = self.most.parameters as u64 + files * (most + UNPARSED as u64);
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

/// A temporary file without a name that is being written. Most files are written at once, by one task.
struct Temporary {
    folder: PathBuf,
    file: Option<File>,
    waiting: Vec<u8>,
}

impl Temporary {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            file: None,
            waiting: Vec::new(),
        }
    }

    async fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < BUFFER {
            return Ok(());
        }
        let file = self.write().await?;
        self.file = Some(file);
        Ok(())
    }

    async fn end(mut self) -> Result<File> {
        self.write().await
    }

    async fn write(&mut self) -> Result<File> {
        let (file, folder) = (self.file.take(), self.folder.clone());
        let waiting = std::mem::take(&mut self.waiting);
        let writing = tokio::task::spawn_blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => tempfile::tempfile_in(folder)?,
            };
            file.write_all(&waiting)?;
            Ok((file, waiting))
        });
        let written = writing.await.map_err(Error::internal)?;
        let (file, mut written) = written.map_err(unwritable)?;
        written.clear();
        self.waiting = written;
        Ok(file)
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

/// A body in sips. The parser takes all that it can get before it looks at any of it, and it would hold whatever comes
/// while it waits for the end of something. So it gets one piece at a time, and an error when it holds too much.
struct Sips {
    body: Arc<Mutex<Body>>,
    /// Bytes given since the parser last found anything.
    unparsed: Arc<AtomicUsize>,
    has_given: bool,
}

impl Stream for Sips {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let frame = Pin::new(&mut *self.body.lock()).poll_frame(cx);
            let bytes = match std::task::ready!(frame) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(std::io::Error::other(error)))),
                Some(Ok(frame)) => frame.into_data(),
            };
            if let Ok(bytes) = bytes {
                let before = self.unparsed.fetch_add(bytes.len(), Ordering::Relaxed);
                if before > UNPARSED {
                    let error = std::io::Error::other("a part does not end");
                    return Poll::Ready(Some(Err(error)));
                }
                self.has_given = true;
                return Poll::Ready(Some(Ok(bytes)));
            }
        }
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

/// The value at this path, such as `variables.input.files.0`.
fn place<'a>(operations: &'a mut Map<String, Value>, path: &str) -> Option<&'a mut Value> {
    let rest = path.strip_prefix("variables.")?;
    let mut place = operations.get_mut("variables")?;
    for step in rest.split('.') {
        place = match place {
            Value::Object(fields) => fields.get_mut(step)?,
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(place)
}

/// The entries of a map, with those whose names are equal.
struct Entries(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(All)
    }
}

fn wrong(en: String, ko: String) -> Error {
    Error::bad_request(
        format!("The map {en}."),
        format!("map이 잘못되었습니다: {ko}."),
    )
}

fn broken(error: multer::Error) -> Error {
    let sentence = short(&error);
    Error::bad_request(
        format!("The form cannot be read: {sentence}."),
        format!("multipart 본문을 읽을 수 없습니다: {sentence}."),
    )
}

fn unwritable(error: std::io::Error) -> Error {
    tracing::warn!(%error, "an upload cannot be written to the volume");
    Error::Unavailable { backend: "volume" }
}
