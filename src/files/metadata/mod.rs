//! Takes out of pictures and videos what their makers may not mean to publish: the place, the camera, the time, comments.
//! What shows the picture is kept byte by byte, and so is how it is turned.
//!
//! A file is not rewritten here. The result is a list of pieces, so that a file of any size takes little memory. What a
//! decoder would not miss is left out; in containers that are full of offsets it is overwritten with zeros.

mod bmff;
mod gif;
mod jpeg;
mod png;
mod tiff;
mod webp;

use std::{
    io::{self, BufReader, Read, Seek, SeekFrom},
    ops::Range,
};

pub use tiff::Orientation;

/// The most pieces. No real file needs a hundredth.
const MOST_PIECES: usize = 20_000;
/// The most bytes of metadata that are read at once, to find how a picture is turned, for example.
const MOST_READ: u64 = 1 << 20;

/// What is kept of a file, in order.
#[derive(Debug, Default)]
pub struct Kept {
    pieces: Vec<Piece>,
    pub size: u64,
    pub orientation: Orientation,
}

/// A part of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the file.
    Of(Range<u64>),
    Bytes(Vec<u8>),
    Zeros(u64),
}

/// Why a file is not kept.
#[derive(Debug)]
pub enum Refusal {
    /// It is not what its first bytes say.
    Damaged,
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged,
            _ => Self::Io(error),
        }
    }
}

type Result<T> = std::result::Result<T, Refusal>;

/// What to keep of a file of this type.
///
/// # Errors
/// [`Refusal::Damaged`] for a picture that has none.
pub fn kept(file: &std::fs::File, size: u64, media: &str) -> Result<Kept> {
    let mut source = Source {
        file: BufReader::with_capacity(64 << 10, file),
        size,
    };
    source.seek(0)?;
    match media {
        "image/jpeg" => jpeg::kept(&mut source),
        "image/png" => png::kept(&mut source),
        "image/gif" => gif::kept(&mut source),
        "image/webp" => webp::kept(&mut source),
        "image/tiff" | "image/x-canon-cr2" | "image/vnd.ms-photo" => tiff::kept(&mut source),
        "image/heif" | "image/avif" | "video/mp4" | "video/quicktime" | "video/x-m4v"
        | "audio/m4a" => bmff::kept(&mut source),
        _ => Ok(Kept::whole(size)),
    }
}

impl Kept {
    /// All of it.
    fn whole(size: u64) -> Self {
        let mut kept = Self::default();
        kept.pieces.push(Piece::Of(0..size));
        kept.size = size;
        kept
    }

    /// The pieces, in order.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Keeps these bytes of the file.
    fn keep(&mut self, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.size += range.end - range.start;
        match self.pieces.last_mut() {
            Some(Piece::Of(last)) if last.end == range.start => {
                last.end = range.end;
                Ok(())
            }
            _ => self.push(Piece::Of(range)),
        }
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.size += bytes.len() as u64;
        self.push(Piece::Bytes(bytes))
    }

    fn push(&mut self, piece: Piece) -> Result<()> {
        if self.pieces.len() == MOST_PIECES {
            return Err(Refusal::Damaged);
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// All of a file of `size` bytes, with zeros in these ranges.
    fn blanked(size: u64, mut blanks: Vec<Range<u64>>) -> Result<Self> {
        let mut kept = Self::default();
        blanks.sort_by_key(|range| range.start);
        let mut at = 0;
        for blank in blanks {
            let (start, end) = (blank.start.max(at), blank.end.min(size));
            if start >= end {
                continue;
            }
            kept.keep(at..start)?;
            kept.size += end - start;
            kept.push(Piece::Zeros(end - start))?;
            at = end;
        }
        kept.keep(at..size)?;
        Ok(kept)
    }
}

/// A file that is read from front to back, with jumps.
struct Source<'a> {
    file: BufReader<&'a std::fs::File>,
    size: u64,
}

impl Source<'_> {
    fn seek(&mut self, to: u64) -> Result<()> {
        let here = self.file.stream_position()?;
        // Near places are often in the buffer already.
        match i64::try_from(i128::from(to) - i128::from(here)) {
            Ok(offset) => self.file.seek_relative(offset)?,
            Err(_) => drop(self.file.seek(SeekFrom::Start(to))?),
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The bytes of a range, of which only the first MiB is read.
    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        self.seek(range.start)?;
        let length = range.end.min(self.size).saturating_sub(range.start);
        let mut bytes = vec![0; usize::try_from(length.min(MOST_READ)).unwrap_or_default()];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
