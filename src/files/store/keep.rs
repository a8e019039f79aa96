//! Brings the bytes of new files to safety, before any row names them.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
};

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::{over, size_of, stamp, usage};
use crate::{
    app::App,
    blobs::read_part,
    clock::Timestamp,
    cpu::{Cpu, Share},
    error::{Error, Result, Rule, Violation},
    files::{
        FileName, Incoming, MediaType, Parent,
        images::{self, MOST_PIXELS},
        media::HEAD,
        metadata::{self, Kept, Piece, Refusal},
        path,
    },
    ids::{FileId, UserId},
};

/// The bytes that are read at once.
const CHUNK: usize = 128 << 10;

/// A file whose bytes are safe, and which no row names yet.
#[derive(Clone, Debug)]
pub struct KeptFile {
    pub(super) id: FileId,
    pub(super) name: FileName,
    pub(super) content_type: MediaType,
    pub(super) size: i64,
    pub(super) width: Option<i32>,
    pub(super) height: Option<i32>,
    pub(super) created_at: Timestamp,
}

impl KeptFile {
    /// Whether thumbnails are made of it.
    pub(super) fn has_thumbnails(&self) -> bool {
        let size = self.width.zip(self.height);
        size.is_some_and(|(width, height)| images::is_drawn(&self.content_type, width, height))
    }
}

/// New files for a post or a comment.
#[derive(Debug)]
pub struct NewFiles<'a> {
    pub owner: UserId,
    pub parent: Parent,
    /// Where the input names them.
    pub field: &'a str,
    pub files: Vec<Incoming>,
    /// Files that are taken off in the same change, whose bytes do not count any more then.
    pub instead_of: &'a [FileId],
}

/// Writes new files: sniffs what they are, takes out what they tell of place and camera, and returns once all bytes are
/// safe. If that fails, none is kept.
///
/// # Errors
/// `LIMIT_EXCEEDED` for too many files, and for more bytes than the owner may have; `INVALID` for empty files and damaged
/// pictures; `UNAVAILABLE` when the store of bytes is.
pub async fn keep(app: &App, new: NewFiles<'_>) -> Result<Vec<KeptFile>> {
    if new.files.is_empty() {
        return Ok(Vec::new());
    }
    // Boxed, since posts without files are more common, and would copy a future as large.
    Box::pin(keep_all(app, new)).await
}

async fn keep_all(app: &App, new: NewFiles<'_>) -> Result<Vec<KeptFile>> {
    let NewFiles {
        owner,
        field,
        files,
        ..
    } = new;
    let most = new.parent.most();
    if files.len() > most {
        return Err(over(most));
    }
    // Data sets, which may come with the same request, may be larger.
    let largest = app.config.max_file_size;
    if files.iter().any(|file| file.size > largest) {
        return Err(Error::TooLarge { limit: largest });
    }
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    let limit = app.config.max_storage_per_user;
    let instead_of = new.instead_of.to_vec();
    app.db
        .read(move |conn| {
            let freed = size_of(conn, owner, &instead_of)?;
            usage::check(conn, owner, bytes.saturating_sub(freed), limit)
        })
        .await?;
    let mut looked = Vec::new();
    let mut violations = Vec::<Violation>::new();
    for (n, file) in files.into_iter().enumerate() {
        match look(&app.cpu, file).await? {
            Ok(found) => looked.push(found),
            Err(rule) => violations.push(rule.at(format!("{field}.{n}"))),
        }
    }
    if !violations.is_empty() {
        return Err(Error::Invalid(violations));
    }
    let mut kept = Vec::new();
    for found in looked {
        match write(app, found).await {
            Ok(file) => kept.push(file),
            Err(error) => {
                discard(app, &kept, &error).await;
                return Err(error);
            }
        }
    }
    Ok(kept)
}

/// What was written of the rows of `files`. If it failed, their bytes are deleted.
///
/// # Errors
/// That of `written`.
pub async fn settle<T>(app: &App, files: &[KeptFile], written: Result<T>) -> Result<T> {
    if let Err(error) = &written {
        discard(app, files, error).await;
    }
    written
}

/// Deletes the bytes of files that no row will name, since `error` prevented it. When it is not certain that there is no
/// row, the sweep will see.
async fn discard(app: &App, files: &[KeptFile], error: &Error) {
    if !error.is_certain() {
        return;
    }
    for file in files {
        if let Err(error) = app.blobs.delete(&path(file.id)).await {
            tracing::info!(%error, file = %file.id, "bytes of a refused file are left to the sweep");
        }
    }
}

/// A file that has been looked through.
struct Looked {
    name: FileName,
    content: File,
    media: MediaType,
    kept: Kept,
    /// As it is shown.
    dimensions: Option<(i32, i32)>,
}

async fn look(cpu: &Cpu, file: Incoming) -> Result<Result<Looked, Rule>> {
    if file.size == 0 {
        return Ok(Err(Rule::Empty));
    }
    cpu.run(Share::Files, || look_through(file)).await?
}

fn look_through(file: Incoming) -> Result<Result<Looked, Rule>> {
    let Incoming {
        name,
        mut content,
        size,
    } = file;
    let mut head = Vec::with_capacity(HEAD);
    content
        .seek(SeekFrom::Start(0))
        .and_then(|_| (&content).take(HEAD as u64).read_to_end(&mut head))
        .map_err(|error| Error::internal(error))?;
    let media = MediaType::sniff(&head, &name);
    let kept = match metadata::kept(&content, size, media.as_str()) {
        Ok(kept) => kept,
        Err(Refusal::Damaged) => return Ok(Err(Rule::Damaged)),
        Err(Refusal::Io(error)) => return Err(Error::internal(error)),
    };
    let is_picture = media.as_str().starts_with("image/");
    let dimensions = is_picture
        .then(|| images::dimensions(&mut content))
        .flatten();
    if let Some((width, height)) = dimensions
        && width.saturating_mul(height) > MOST_PIXELS
    {
        return Ok(Err(Rule::TooManyPixels { max: MOST_PIXELS }));
    }
    let dimensions = dimensions.and_then(|(width, height)| {
        let (width, height) = (i32::try_from(width).ok()?, i32::try_from(height).ok()?);
        Some(match kept.orientation.is_on_its_side() {
            true => (height, width),
            false => (width, height),
        })
    });
    Ok(Ok(Looked {
        name,
        content,
        media,
        kept,
        dimensions,
    }))
}

async fn write(app: &App, found: Looked) -> Result<KeptFile> {
    let (id, created_at) = stamp(app);
    let (width, height) = found.dimensions.unzip();
    let size = found.kept.size;
    let content = pieces(found.content, found.kept.pieces().to_vec());
    app.blobs.write(&path(id), content, size).await?;
    Ok(KeptFile {
        id,
        name: found.name,
        content_type: found.media,
        size: i64::try_from(size).map_err(|error| Error::internal(error))?,
        width,
        height,
        created_at,
    })
}

/// The bytes of these pieces.
fn pieces(content: File, pieces: Vec<Piece>) -> impl Stream<Item = Result<Bytes>> + Send {
    let chunks = pieces.into_iter().flat_map(chunks);
    stream::try_unfold((content, chunks), |(content, mut chunks)| async move {
        let Some(chunk) = chunks.next() else {
            return Ok(None);
        };
        let (content, bytes) = match chunk {
            Piece::Of(range) => read_part(content, range)
                .await
                .map_err(|error| Error::internal(error))?,
            Piece::Bytes(bytes) => (content, bytes.into()),
            Piece::Zeros(count) => (content, vec![0; count as usize].into()),
        };
        Ok(Some((bytes, (content, chunks))))
    })
}

/// A piece in pieces of at most [`CHUNK`] bytes.
fn chunks(piece: Piece) -> Vec<Piece> {
    let split = |range: Range<u64>| {
        let starts = range.clone().step_by(CHUNK);
        starts.map(move |start| start..(start + CHUNK as u64).min(range.end))
    };
    match piece {
        Piece::Of(range) => split(range).map(Piece::Of).collect(),
        Piece::Zeros(count) => split(0..count)
            .map(|range| Piece::Zeros(range.end - range.start))
            .collect(),
        Piece::Bytes(_) => vec![piece],
    }
}
