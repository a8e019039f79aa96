//! HEIF, AVIF, MP4 and QuickTime: boxes in boxes (ISO/IEC 14496-12 and 23008-12). They are full of offsets, so nothing is
//! moved: what tells of the place, the camera or the time is overwritten with zeros. How a picture is turned is told by a
//! box of its own, which stays.

use std::{collections::HashSet, ops::Range};

use super::{Kept, MOST_READ, Refusal, Result, Source};

/// The most boxes of one level.
const MOST_BOXES: usize = 10_000;

pub(super) fn kept(source: &mut Source) -> Result<Kept> {
    let mut blanks = Vec::new();
    for (kind, body) in boxes(source, 0..source.size)? {
        match &kind {
            b"meta" => items(source, body, &mut blanks)?,
            b"moov" => movie(source, body, 0, &mut blanks)?,
            // XMP, mostly.
            b"uuid" => blanks.push(body),
            _ => {}
        }
    }
    Kept::blanked(source.size, blanks)
}

type Box = ([u8; 4], Range<u64>);

/// The boxes in a range, with the ranges of what is in them.
fn boxes(source: &mut Source, within: Range<u64>) -> Result<Vec<Box>> {
    let mut found = Vec::new();
    let mut at = within.start;
    while at + 8 <= within.end {
        source.seek(at)?;
        let size = u64::from(source.u32()?);
        let kind = source.array()?;
        let (head, size) = match size {
            0 => (8, within.end - at),
            1 => (16, u64::from_be_bytes(source.array()?)),
            size => (8, size),
        };
        let end = at.checked_add(size).filter(|_| size >= head);
        let end = end.ok_or(Refusal::Damaged)?.min(within.end);
        if found.len() == MOST_BOXES {
            return Err(Refusal::Damaged);
        }
        found.push((kind, at + head..end));
        at = end;
    }
    Ok(found)
}

/// In a movie and its tracks: what is told about it by its maker.
fn movie(
    source: &mut Source,
    within: Range<u64>,
    depth: u8,
    blanks: &mut Vec<Range<u64>>,
) -> Result<()> {
    for (kind, body) in boxes(source, within)? {
        match &kind {
            b"udta" | b"meta" | b"uuid" => blanks.push(body),
            b"trak" if depth == 0 => movie(source, body, 1, blanks)?,
            _ => {}
        }
    }
    Ok(())
}

/// In a picture: its items that are not pictures.
fn items(source: &mut Source, meta: Range<u64>, blanks: &mut Vec<Range<u64>>) -> Result<()> {
    // Behind version and flags.
    let within = meta.start + 4..meta.end;
    let all = boxes(source, within)?;
    let body = |name: &[u8; 4]| {
        all.iter()
            .find(|(kind, _)| kind == name)
            .map(|(_, body)| body.clone())
    };
    let Some(information) = body(b"iinf") else {
        return Ok(());
    };
    let told = items_that_tell(source, information)?;
    if told.is_empty() {
        return Ok(());
    }
    let places = body(b"iloc").ok_or(Refusal::Damaged)?;
    if places.end - places.start > MOST_READ {
        return Err(Refusal::Damaged);
    }
    let places = source.read(places)?;
    let data = body(b"idat").map_or(0, |body| body.start);
    extents(&places, data, &told, blanks).ok_or(Refusal::Damaged)
}

/// The ids of items with Exif or XMP.
fn items_that_tell(source: &mut Source, information: Range<u64>) -> Result<HashSet<u32>> {
    source.seek(information.start)?;
    let [version, ..] = source.array::<4>()?;
    let count = if version == 0 { 2 } else { 4 };
    let mut told = HashSet::new();
    for (kind, body) in boxes(source, information.start + 4 + count..information.end)? {
        if &kind != b"infe" {
            continue;
        }
        source.seek(body.start)?;
        let [version, ..] = source.array::<4>()?;
        let id = match version {
            2 => u32::from(source.u16()?),
            3 => source.u32()?,
            _ => continue,
        };
        source.u16()?;
        let kind: [u8; 4] = source.array()?;
        if matches!(&kind, b"Exif" | b"mime" | b"uri ") {
            told.insert(id);
        }
    }
    Ok(told)
}

/// Where the bytes of these items are, after `iloc`. `None` when it does not make sense.
fn extents(
    iloc: &[u8],
    data: u64,
    items: &HashSet<u32>,
    blanks: &mut Vec<Range<u64>>,
) -> Option<()> {
    let mut rest = iloc;
    let mut number = |bytes: u8| -> Option<u64> {
        let (taken, left) = rest.split_at_checked(usize::from(bytes))?;
        rest = left;
        Some(
            taken
                .iter()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        )
    };
    let version = number(1)?;
    number(3)?;
    let (offsets, bases) = (number(1)? as u8, number(1)? as u8);
    let (offset, length) = (offsets >> 4, offsets & 15);
    let (base, index) = (bases >> 4, if version == 0 { 0 } else { bases & 15 });
    if [offset, length, base, index]
        .into_iter()
        .any(|bytes| bytes > 8)
    {
        return None;
    }
    let wide = if version < 2 { 2 } else { 4 };
    for _ in 0..number(wide)? {
        let id = u32::try_from(number(wide)?).ok()?;
        let is_in_data = version > 0 && number(2)? & 15 == 1;
        number(2)?;
        let start = number(base)? + if is_in_data { data } else { 0 };
        for _ in 0..number(2)? {
            number(index)?;
            let start = start.checked_add(number(offset)?)?;
            let length = number(length)?;
            if items.contains(&id) {
                // No length: to the end of the file.
                let end = if length == 0 {
                    u64::MAX
                } else {
                    start.checked_add(length)?
                };
                blanks.push(start..end);
            }
        }
    }
    Some(())
}
