//! Files of this machine, in pieces.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::clock::Timestamp;

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
    // Allocated here, where it is freed: what one thread allocates and another frees adds up in each thread that reads.
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
    let reading = tokio::task::spawn_blocking(move || {
        content.seek(SeekFrom::Start(range.start))?;
        content.read_exact(&mut bytes)?;
        Ok((content, bytes.into()))
    });
    reading.await.map_err(io::Error::other)?
}

/// Deletes files of `folder` that the library has begun to write and not finished, and that were last written before
/// `until`. It writes `name#1` and gives it its name when it is whole; its lists leave such files out.
///
/// # Errors
/// Those of the system.
pub fn delete_unfinished(folder: &Path, until: Timestamp) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.rsplit_once('#'));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !number.is_some_and(|(_, number)| is_number(number)) {
            continue;
        }
        let written = entry.metadata()?.modified()?.duration_since(UNIX_EPOCH);
        let micros = written.map_or(0, |since| since.as_micros());
        if Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)) <= until {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
