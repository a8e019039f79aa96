//! GIF: blocks (<https://www.w3.org/Graphics/GIF/spec-gif89a.txt>). Comments, and whatever applications add apart from
//! how often an animation repeats, are left out.

use super::{Kept, Refusal, Result, Source};

const IMAGE: u8 = 0x2c;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3b;
const COMMENT: u8 = 0xfe;
const PLAIN_TEXT: u8 = 0x01;
const APPLICATION: u8 = 0xff;

pub(super) fn kept(source: &mut Source) -> Result<Kept> {
    let mut kept = Kept::default();
    source.seek(6)?;
    let [_, _, _, _, flags, _, _] = source.array::<7>()?;
    let mut at = 13 + colors(flags);
    if at > source.size {
        return Err(Refusal::Damaged);
    }
    kept.keep(0..at)?;
    let mut has_image = false;
    while at < source.size {
        let start = at;
        source.seek(at)?;
        let [block] = source.array()?;
        let mut is_kept = true;
        at = match block {
            TRAILER => {
                kept.keep(start..start + 1)?;
                break;
            }
            IMAGE => {
                let [_, _, _, _, _, _, _, _, flags] = source.array::<9>()?;
                has_image = true;
                // And one byte: the size of its codes.
                end_of_blocks(source, start + 10 + colors(flags) + 1)?
            }
            EXTENSION => {
                let [label] = source.array()?;
                is_kept = match label {
                    APPLICATION => {
                        let [_, name @ ..] = source.array::<12>()?;
                        matches!(&name, b"NETSCAPE2.0" | b"ANIMEXTS1.0")
                    }
                    COMMENT | PLAIN_TEXT => false,
                    _ => true,
                };
                end_of_blocks(source, start + 2)?
            }
            _ if has_image => break,
            _ => return Err(Refusal::Damaged),
        };
        if is_kept {
            kept.keep(start..at)?;
        }
    }
    if has_image {
        Ok(kept)
    } else {
        Err(Refusal::Damaged)
    }
}

/// The bytes of a table of colours.
fn colors(flags: u8) -> u64 {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Where the blocks end that begin at `at`.
fn end_of_blocks(source: &mut Source, mut at: u64) -> Result<u64> {
    loop {
        if at >= source.size {
            return Ok(source.size);
        }
        source.seek(at)?;
        let [length] = source.array()?;
        at += 1 + u64::from(length);
        if length == 0 {
            return Ok(at);
        }
    }
}
