//! PNG: chunks with a type (<https://www.w3.org/TR/png-3/>), of which only those that show the picture are kept.

use flate2::Crc;

use super::{Kept, Orientation, Refusal, Result, Source};

/// What shows the picture. Everything else is text, time or private.
const SHOWS: [&[u8; 4]; 20] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB",
    b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT",
];

pub(super) fn kept(source: &mut Source) -> Result<Kept> {
    let mut kept = Kept::default();
    kept.keep(0..8)?;
    let mut at = 8;
    let mut has_data = false;
    while at + 12 <= source.size {
        source.seek(at)?;
        let length = u64::from(source.u32()?);
        let kind: [u8; 4] = source.array()?;
        let end = at + 12 + length;
        if at == 8 && &kind != b"IHDR" {
            return Err(Refusal::Damaged);
        }
        // A file that is cut off shows what it has.
        let end = end.min(source.size);
        if SHOWS.contains(&&kind) {
            has_data |= &kind == b"IDAT";
            kept.keep(at..end)?;
        } else if &kind == b"eXIf" && kept.orientation == Orientation::default() {
            let exif = source.read(at + 8..end.saturating_sub(4))?;
            kept.orientation = Orientation::of(&exif);
            if kept.orientation != Orientation::default() {
                kept.bytes(chunk(*b"eXIf", &kept.orientation.exif()))?;
            }
        }
        at = end;
        if &kind == b"IEND" {
            break;
        }
    }
    if has_data {
        Ok(kept)
    } else {
        Err(Refusal::Damaged)
    }
}

fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(data);
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(kind);
    bytes.extend(data);
    bytes.extend(crc.sum().to_be_bytes());
    bytes
}
