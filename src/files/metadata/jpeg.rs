//! JPEG: segments behind markers (ITU-T T.81, annex B), of which those of applications and comments are left out.

use std::io::BufRead;

use super::{Kept, Orientation, Refusal, Result, Source};

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const COMMENT: u8 = 0xfe;

pub(super) fn kept(source: &mut Source) -> Result<Kept> {
    let mut kept = Kept::default();
    if source.array()? != [0xff, SOI] {
        return Err(Refusal::Damaged);
    }
    kept.keep(0..2)?;
    let mut at = 2;
    let mut has_scan = false;
    while let Some((start, marker)) = next_marker(source, at)? {
        at = start + 2;
        match marker {
            EOI => {
                // Whatever follows is no part of the picture: another picture, or an archive.
                kept.keep(start..at)?;
                break;
            }
            SOI => return Err(Refusal::Damaged),
            0x01 | 0xd0..=0xd7 => {
                kept.keep(start..at)?;
                continue;
            }
            _ => {}
        }
        let length = u64::from(source.u16()?);
        let end = at + length;
        if length < 2 || end > source.size {
            if has_scan {
                break;
            }
            return Err(Refusal::Damaged);
        }
        if marker == SOS {
            has_scan = true;
            kept.keep(start..end)?;
            let scanned = end_of_scan(source, end)?;
            kept.keep(end..scanned)?;
            at = scanned;
            continue;
        }
        let found = segment(source, marker, at + 2..end)?;
        match found {
            Segment::Picture => kept.keep(start..end)?,
            Segment::Turned(orientation) if kept.orientation == Orientation::default() => {
                kept.orientation = orientation;
                if orientation != Orientation::default() {
                    kept.bytes(exif(orientation))?;
                }
            }
            Segment::Turned(_) | Segment::Rest => {}
        }
        at = end;
    }
    if has_scan {
        Ok(kept)
    } else {
        Err(Refusal::Damaged)
    }
}

/// The next marker and where it starts. `None` at the end of the file.
fn next_marker(source: &mut Source, at: u64) -> Result<Option<(u64, u8)>> {
    source.seek(at)?;
    if at + 2 > source.size {
        return Ok(None);
    }
    if source.array::<1>()? != [0xff] {
        return Err(Refusal::Damaged);
    }
    let mut start = at;
    loop {
        let [marker] = source.array()?;
        match marker {
            // Any number of these may stand in front.
            0xff => start += 1,
            0 => return Err(Refusal::Damaged),
            marker => return Ok(Some((start, marker))),
        }
    }
}

/// Where the next marker is that ends a scan which begins at `at`.
fn end_of_scan(source: &mut Source, mut at: u64) -> Result<u64> {
    source.seek(at)?;
    let mut after_ff = false;
    loop {
        let buffer = source.file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(source.size);
        }
        let length = buffer.len();
        let mut n = 0;
        while n < length {
            if after_ff {
                match buffer[n] {
                    0 | 0xd0..=0xd7 => after_ff = false,
                    0xff => {}
                    _ => return Ok(at + n as u64 - 1),
                }
                n += 1;
            } else {
                match buffer[n..].iter().position(|byte| *byte == 0xff) {
                    Some(found) => {
                        n += found + 1;
                        after_ff = true;
                    }
                    None => n = length,
                }
            }
        }
        at += length as u64;
        source.file.consume(length);
    }
}

enum Segment {
    Picture,
    /// Metadata that say how the picture is turned.
    Turned(Orientation),
    Rest,
}

fn segment(source: &mut Source, marker: u8, body: std::ops::Range<u64>) -> Result<Segment> {
    let is_application = (0xe0..=0xef).contains(&marker);
    if !is_application {
        return Ok(match marker {
            COMMENT => Segment::Rest,
            _ => Segment::Picture,
        });
    }
    let bytes = source.read(body)?;
    Ok(match marker {
        // JFXX, beside JFIF, is a thumbnail.
        0xe0 if bytes.starts_with(b"JFIF\0") => Segment::Picture,
        0xe1 => match bytes.strip_prefix(b"Exif\0\0") {
            Some(exif) => Segment::Turned(Orientation::of(exif)),
            None => Segment::Rest,
        },
        0xe2 if bytes.starts_with(b"ICC_PROFILE\0") => Segment::Picture,
        // How the colours are coded.
        0xee if bytes.starts_with(b"Adobe") => Segment::Picture,
        _ => Segment::Rest,
    })
}

/// A segment that says how the picture is turned, and nothing else.
fn exif(orientation: Orientation) -> Vec<u8> {
    let exif = orientation.exif();
    let length = u16::try_from(2 + 6 + exif.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0xff, 0xe1];
    bytes.extend(length.to_be_bytes());
    bytes.extend(b"Exif\0\0");
    bytes.extend(exif);
    bytes
}
