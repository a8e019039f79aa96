//! WebP: a RIFF file (<https://developers.google.com/speed/webp/docs/riff_container>).

use super::{Kept, Orientation, Piece, Refusal, Result, Source};

/// Flags of VP8X.
const HAS_EXIF: u8 = 0x08;
const HAS_XMP: u8 = 0x04;

pub(super) fn kept(source: &mut Source) -> Result<Kept> {
    let mut kept = Kept::default();
    let [riff, size, webp] = [source.array::<4>()?, source.array()?, source.array()?];
    if &riff != b"RIFF" || &webp != b"WEBP" {
        return Err(Refusal::Damaged);
    }
    // Its size is known at the end.
    kept.bytes(Vec::new())?;
    let all = (8 + u64::from(u32::from_le_bytes(size))).min(source.size);
    let mut at = 12;
    let mut extended = None;
    let mut has_image = false;
    while at + 8 <= all {
        source.seek(at)?;
        let kind: [u8; 4] = source.array()?;
        let length = u64::from(u32::from_le_bytes(source.array()?));
        // Chunks have even sizes.
        let end = (at + 8 + length + length % 2).min(all);
        match &kind {
            b"VP8X" if at == 12 => {
                let bytes = source.read(at..end)?;
                if bytes.len() != 18 {
                    return Err(Refusal::Damaged);
                }
                extended = Some(kept.pieces.len());
                kept.bytes(bytes)?;
            }
            b"VP8 " | b"VP8L" | b"ANMF" | b"ALPH" | b"ANIM" | b"ICCP" => {
                has_image |= !matches!(&kind, b"ICCP" | b"ANIM" | b"ALPH");
                kept.keep(at..end)?;
            }
            b"EXIF" => {
                let exif = source.read(at + 8..end)?;
                // Some write the prefix of JPEG.
                let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif);
                kept.orientation = Orientation::of(exif);
            }
            _ => {}
        }
        at = end;
    }
    if !has_image {
        return Err(Refusal::Damaged);
    }
    let is_turned = extended.is_some() && kept.orientation != Orientation::default();
    if is_turned {
        let exif = kept.orientation.exif();
        let length = u32::try_from(exif.len()).unwrap_or(u32::MAX);
        let mut bytes = b"EXIF".to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend(&exif);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        kept.bytes(bytes)?;
    }
    if let Some(Piece::Bytes(bytes)) = extended.and_then(|n| kept.pieces.get_mut(n)) {
        bytes[8] &= !(HAS_EXIF | HAS_XMP);
        bytes[8] |= if is_turned { HAS_EXIF } else { 0 };
    }
    // Behind "WEBP", of which `size` does not know yet.
    let size = u32::try_from(kept.size + 4).map_err(|_| Refusal::Damaged)?;
    let mut head = b"RIFF".to_vec();
    head.extend(size.to_le_bytes());
    head.extend(b"WEBP");
    kept.size += head.len() as u64;
    kept.pieces[0] = Piece::Bytes(head);
    Ok(kept)
}
