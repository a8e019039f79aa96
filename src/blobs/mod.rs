//! Bytes: files, data sets and models, in a folder or in an S3-compatible store. What is written becomes visible only
//! when it is whole and safe; the row that names it is written afterwards.

mod file;
mod open;

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
pub use file::{read as read_part, stream as stream_part};
use futures_util::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, buffered::BufWriter,
    path::Path,
};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use crate::{
    clock::{Clock, Timestamp},
    config::{Config, Fault},
    error::{Error, Result},
};

/// Bytes of a part of an upload to S3, which takes no less, except for the last one.
const PART: usize = 5 << 20;
/// The same to a folder.
const PART_OF_FILE: usize = 256 << 10;
/// Parts of one upload that are on their way while the next one is gathered: memory does not grow with the size.
const PARTS: usize = 1;

const UNAVAILABLE: Error = Error::Unavailable { backend: "blobs" };

/// What bytes are for. Locally, each is a folder of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    Files,
    Datasets,
    Models,
}

impl Folder {
    fn name(self) -> &'static str {
        match self {
            Self::Files => "file",
            Self::Datasets => "dataset",
            Self::Models => "ai_model_store",
        }
    }
}

/// The place of some bytes. Names are made by the program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobPath(Path);

impl BlobPath {
    /// The place of what `name` names, such as an id: letters, digits, `_`, `-` and `.`; other characters are encoded.
    #[must_use]
    pub fn new(folder: Folder, name: impl fmt::Display) -> Self {
        Self(Path::from_iter([folder.name(), &name.to_string()]))
    }

    /// The name in the folder.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.filename().unwrap_or_default()
    }
}

impl fmt::Display for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes that are being read.
pub struct Blob {
    /// Of the whole.
    pub size: u64,
    /// The part that is read.
    pub range: Range<u64>,
    pub content: BoxStream<'static, Result<Bytes>>,
}

/// Bytes in a list.
#[derive(Clone, Debug)]
pub struct Stored {
    pub path: BlobPath,
    pub size: u64,
    pub written_at: Timestamp,
}

/// The port. Cheap to clone. All methods fail with `UNAVAILABLE` when the store cannot be reached.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// The folder, of a local store.
    folder: Option<PathBuf>,
    clock: Clock,
}

impl Blobs {
    /// Opens the store that `config` names.
    ///
    /// # Errors
    /// A sentence about `BLOBS_URL` when it does not work.
    pub async fn open(config: &Config, clock: Clock) -> Result<Self, Fault> {
        let url = config.blobs_url.expose();
        let (store, folder) = if url.starts_with("s3:") {
            (open::s3(url).await?, None)
        } else {
            let (store, folder) = open::folder(config)?;
            (store, Some(folder))
        };
        Ok(Self {
            store,
            folder,
            clock,
        })
    }

    /// Whether the bytes are on this machine only.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// Writes `content`, and returns its size once it is safe. Nothing is there before, nor when it fails. What was there
    /// is replaced.
    ///
    /// # Errors
    /// `TOO_LARGE` for more than `limit` bytes; what `content` fails with.
    pub async fn write(
        &self,
        path: &BlobPath,
        content: impl Stream<Item = Result<Bytes>> + Send,
        limit: u64,
    ) -> Result<u64> {
        let part = if self.is_local() { PART_OF_FILE } else { PART };
        let writer = BufWriter::with_capacity(Arc::clone(&self.store), path.0.clone(), part);
        let mut writer = writer.with_max_concurrency(PARTS);
        match copy(content, &mut writer, limit).await {
            Ok(size) => {
                writer.shutdown().await.map_err(away)?;
                Ok(size)
            }
            Err(error) => {
                // Otherwise the store would keep the parts.
                if let Err(error) = writer.abort().await {
                    tracing::debug!(%error, "an upload could not be aborted");
                }
                Err(error)
            }
        }
    }

    /// Reads what is at `path`, or a part of it. A range that ends behind the end is cut.
    ///
    /// # Errors
    /// `NOT_FOUND`; `INVALID` at `range` when the range begins behind the end or is empty.
    pub async fn read(&self, path: &BlobPath, range: Option<Range<u64>>) -> Result<Blob> {
        let options = GetOptions {
            range: range.clone().map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let found = match self.store.get_opts(&path.0, options).await {
            Ok(found) => found,
            Err(error) => return Err(self.explain(path, range, error).await),
        };
        let (size, range) = (found.meta.size, found.range.clone());
        let content = match found.payload {
            GetResultPayload::File(content, _) => {
                file::stream(content, range.clone()).map_err(away).boxed()
            }
            GetResultPayload::Stream(content) => content.map_err(failed).boxed(),
        };
        Ok(Blob {
            size,
            range,
            content,
        })
    }

    /// What is at `path`, as a file of this machine: itself where the store is a folder, otherwise a copy in `folder`
    /// without a name.
    ///
    /// # Errors
    /// `NOT_FOUND`; `UNAVAILABLE` when the copy cannot be written, too.
    pub async fn file(&self, path: &BlobPath, folder: &std::path::Path) -> Result<std::fs::File> {
        let found = self.store.get(&path.0).await.map_err(failed)?;
        let mut content = match found.payload {
            GetResultPayload::File(file, _) => return Ok(file),
            GetResultPayload::Stream(content) => content,
        };
        let copy = tempfile::tempfile_in(folder).map_err(away)?;
        let mut copy = tokio::fs::File::from_std(copy);
        while let Some(bytes) = content.try_next().await.map_err(failed)? {
            copy.write_all(&bytes).await.map_err(away)?;
        }
        copy.flush().await.map_err(away)?;
        copy.rewind().await.map_err(away)?;
        Ok(copy.into_std().await)
    }

    /// The size of what is at `path`.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn size(&self, path: &BlobPath) -> Result<u64> {
        let meta = self.store.head(&path.0).await.map_err(failed)?;
        Ok(meta.size)
    }

    /// Stores answer differently to ranges that they cannot satisfy.
    async fn explain(
        &self,
        path: &BlobPath,
        range: Option<Range<u64>>,
        error: object_store::Error,
    ) -> Error {
        let Some(range) = range else {
            return failed(error);
        };
        match self.store.head(&path.0).await {
            Ok(meta) if range.is_empty() || range.start >= meta.size => {
                Error::invalid("range", out_of(meta.size))
            }
            Ok(_) => failed(error),
            Err(error) => failed(error),
        }
    }

    /// Deletes what is at `path`, if anything is.
    ///
    /// # Errors
    /// See [`Blobs`].
    pub async fn delete(&self, path: &BlobPath) -> Result<()> {
        match self.store.delete(&path.0).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// What was written at least `age` ago, by the time of day.
    pub fn older_than(&self, folder: Folder, age: Duration) -> BoxStream<'static, Result<Stored>> {
        let until = self.clock.now().before(age);
        let all = self.store.list(Some(&Path::from(folder.name())));
        let old = all.map_err(failed).try_filter_map(move |meta| {
            let written_at = Timestamp::from_micros(meta.last_modified.timestamp_micros());
            let stored = (written_at <= until).then_some(Stored {
                path: BlobPath(meta.location),
                size: meta.size,
                written_at,
            });
            std::future::ready(Ok(stored))
        });
        old.boxed()
    }

    /// Deletes what writes have left behind that never ended, since the process died, and that are older than `age`. An S3
    /// store does so itself, by a rule of its bucket.
    ///
    /// # Errors
    /// See [`Blobs`].
    pub async fn delete_unfinished(&self, folder: Folder, age: Duration) -> Result<()> {
        let Some(root) = &self.folder else {
            return Ok(());
        };
        let (folder, until) = (root.join(folder.name()), self.clock.now().before(age));
        let deleting = tokio::task::spawn_blocking(move || file::delete_unfinished(&folder, until));
        let deleted = deleting.await.map_err(|error| Error::internal(error))?;
        deleted.map_err(away)
    }

    /// # Errors
    /// `UNAVAILABLE` when the store does not answer.
    pub async fn ping(&self) -> Result<()> {
        open::look(&*self.store).await.map_err(failed)
    }
}

fn out_of(size: u64) -> crate::error::Rule {
    crate::error::Rule::OutOfRange {
        min: 0,
        max: i64::try_from(size).unwrap_or(i64::MAX),
    }
}

async fn copy(
    content: impl Stream<Item = Result<Bytes>> + Send,
    writer: &mut BufWriter,
    limit: u64,
) -> Result<u64> {
    let mut content = std::pin::pin!(content);
    let mut size = 0;
    while let Some(bytes) = content.try_next().await? {
        size += bytes.len() as u64;
        if size > limit {
            return Err(Error::TooLarge { limit });
        }
        writer.put(bytes).await.map_err(failed)?;
    }
    Ok(size)
}

fn failed(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::NotFound,
        error => away(error),
    }
}

fn away(error: impl fmt::Display) -> Error {
    tracing::warn!(%error, "the blob store failed");
    UNAVAILABLE
}
