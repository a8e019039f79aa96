//! TIFF (revision 6.0), which Exif is made of: how a picture is turned, and pictures that are TIFF themselves.

use std::ops::Range;

use super::{Kept, Refusal, Result, Source};

/// How a picture must be turned to be shown, as Exif counts it: 1 to 8, of which 1 is not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Default for Orientation {
    fn default() -> Self {
        Self(1)
    }
}

const TURNED: u16 = 0x0112;
/// What does not show the picture: its name, the camera, software, time, artist, XMP, IPTC, Photoshop, Exif, the place,
/// and what Windows adds.
const TELLS: [u16; 18] = [
    0x010d, 0x010e, 0x010f, 0x0110, 0x0131, 0x0132, 0x013b, 0x013c, 0x02bc, 0x83bb, 0x8649, 0x8769,
    0x8825, 0x9c9b, 0x9c9c, 0x9c9d, 0x9c9e, 0x9c9f,
];
/// Tags whose value is the place of another directory.
const DIRECTORIES: [u16; 2] = [0x8769, 0x8825];
const MOST_DIRECTORIES: usize = 100;

impl Orientation {
    /// What Exif says.
    pub(super) fn of(exif: &[u8]) -> Self {
        let turned = || {
            let order = Order::of(exif.get(..4)?)?;
            let at = order.number(exif.get(4..8)?) as usize;
            let count = order.number(exif.get(at..at + 2)?) as usize;
            let entries = exif.get(at + 2..)?.chunks_exact(12).take(count);
            let mut entries =
                entries.filter(|entry| order.number(&entry[..2]) == u64::from(TURNED));
            u8::try_from(order.number(&entries.next()?[8..10])).ok()
        };
        match turned() {
            Some(turned @ 1..=8) => Self(turned),
            _ => Self::default(),
        }
    }

    /// Exif that says nothing else.
    pub(super) fn exif(self) -> Vec<u8> {
        let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([self.0, 0, 0, 0, 0, 0, 0]);
        exif
    }

    /// Whether width and height change places.
    #[must_use]
    pub fn is_on_its_side(self) -> bool {
        self.0 >= 5
    }
}

#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            b"MM\0\x2a" => Some(Self::Big),
            b"II\x2a\0" => Some(Self::Little),
            _ => None,
        }
    }

    fn number(self, bytes: &[u8]) -> u64 {
        let add = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
        match self {
            Self::Big => bytes.iter().fold(0, add),
            Self::Little => bytes.iter().rev().fold(0, add),
        }
    }
}

/// Zeros what tells of more than the picture. BigTIFF is not read, and refused.
pub(super) fn kept(source: &mut Source) -> Result<Kept> {
    let head: [u8; 8] = source.array()?;
    let order = Order::of(&head[..4]).ok_or(Refusal::Damaged)?;
    let mut blanks = Vec::new();
    let mut waiting = vec![(order.number(&head[4..]), false)];
    let mut seen = Vec::new();
    while let Some((at, is_telling)) = waiting.pop() {
        if at == 0 || seen.contains(&at) {
            continue;
        }
        if seen.len() == MOST_DIRECTORIES {
            return Err(Refusal::Damaged);
        }
        seen.push(at);
        directory(source, order, at, is_telling, &mut waiting, &mut blanks)?;
    }
    let orientation = {
        let exif = source.read(0..source.size)?;
        Orientation::of(&exif)
    };
    let mut kept = Kept::blanked(source.size, blanks)?;
    kept.orientation = orientation;
    Ok(kept)
}

fn directory(
    source: &mut Source,
    order: Order,
    at: u64,
    is_telling: bool,
    waiting: &mut Vec<(u64, bool)>,
    blanks: &mut Vec<Range<u64>>,
) -> Result<()> {
    source.seek(at)?;
    let count = order.number(&source.array::<2>()?);
    let end = at + 2 + 12 * count;
    if end > source.size {
        return Err(Refusal::Damaged);
    }
    let entries = source.read(at + 2..end)?;
    for (n, entry) in entries.chunks_exact(12).enumerate() {
        let tag = order.number(&entry[..2]) as u16;
        let place = order.number(&entry[8..]);
        let size = size_of(order.number(&entry[2..4])) * order.number(&entry[4..8]);
        if DIRECTORIES.contains(&tag) {
            waiting.push((place, true));
        }
        if is_telling || TELLS.contains(&tag) {
            if size > 4 {
                blanks.push(place..place.saturating_add(size));
            }
            // The value; the tag stays, since the directory is sorted.
            let value = at + 2 + 12 * n as u64 + 8;
            blanks.push(value..value + 4);
        }
    }
    if !is_telling && end + 4 <= source.size {
        source.seek(end)?;
        waiting.push((order.number(&source.array::<4>()?), false));
    }
    Ok(())
}

/// Bytes of a value of this type.
fn size_of(kind: u64) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 => 8,
        _ => 1,
    }
}
