//! Files that are being received.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Bytes of a file that wait to be written.
const BUFFER: usize = 256 << 10;

/// A temporary file without a name that is being written. Most files are written at once, by one task.
pub struct Temporary {
    folder: PathBuf,
    file: Option<File>,
    waiting: Vec<u8>,
}

impl Temporary {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            file: None,
            waiting: Vec::new(),
        }
    }

    /// Adds bytes to it.
    ///
    /// # Errors
    /// `UNAVAILABLE` when they cannot be written.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() < BUFFER {
            return Ok(());
        }
        let file = self.write().await?;
        self.file = Some(file);
        Ok(())
    }

    /// The whole file.
    ///
    /// # Errors
    /// As [`Temporary::push`].
    pub async fn end(mut self) -> Result<File> {
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
        let written = writing.await.map_err(|error| Error::internal(error))?;
        let (file, mut written) = written.map_err(unwritable)?;
        written.clear();
        self.waiting = written;
        Ok(file)
    }
}

fn unwritable(error: std::io::Error) -> Error {
    tracing::warn!(%error, "an upload cannot be written to the volume");
    Error::Unavailable { backend: "volume" }
}
