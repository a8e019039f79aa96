//! Files of this machine, in pieces.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
};

use bytes::Bytes;
use futures_util::{Stream, stream};

/// The bytes that are read at once: what a connection takes at once. Reading through the library takes 8 KiB at a time,
/// each on another thread.
pub const CHUNK: u64 = 64 << 10;

/// A part of a file.
pub fn stream(content: File, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((content, range), |(content, rest)| async move {
        if rest.is_empty() {
            return Ok(None);
        }
        let end = rest.end.min(rest.start + CHUNK);
        let (content, bytes) = read(content, rest.start..end).await?;
        Ok(Some((bytes, (content, end..rest.end))))
    })
}

/// These bytes of a file, and the file.
///
/// # Errors
/// Those of the system, also for a file that ends before.
pub async fn read(mut content: File, range: Range<u64>) -> io::Result<(File, Bytes)> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        content.seek(SeekFrom::Start(range.start))?;
        content.read_exact(&mut bytes)?;
        Ok((content, bytes.into()))
    });
    reading.await.map_err(io::Error::other)?
}
