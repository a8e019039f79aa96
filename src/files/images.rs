//! Pictures: their size, and thumbnails of them.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Seek},
};

use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder,
    imageops::FilterType, metadata::Orientation,
};

use super::media::MediaType;

/// The sizes of thumbnails, by their longest side: powers of two.
pub const SMALLEST_THUMBNAIL: u32 = 32;
pub const LARGEST_THUMBNAIL: u32 = 1024;
/// The most pixels of a picture that is kept: 16 384 × 16 384. A browser that shows it needs four bytes for each.
pub const MOST_PIXELS: u64 = 1 << 28;
/// The most pixels of a picture that thumbnails are made of.
const MOST_DECODED: u64 = 1 << 26;
/// The most bytes that a decoder may take.
const MOST_MEMORY: u64 = 400 << 20;
const JPEG_QUALITY: u8 = 82;

/// The size of the thumbnail for `wanted` pixels of a picture whose longest side has `side`: the next power of two, and
/// none that the picture would have to be enlarged for, apart from the first.
#[must_use]
pub fn thumbnail_size(wanted: u32, side: u32) -> u32 {
    let size = |side: u32| {
        side.min(LARGEST_THUMBNAIL)
            .next_power_of_two()
            .max(SMALLEST_THUMBNAIL)
    };
    size(wanted).min(size(side))
}

/// Width and height of a picture that is not turned, if it is one.
#[must_use]
pub fn dimensions(file: &mut File) -> Option<(u64, u64)> {
    file.rewind().ok()?;
    let size = imagesize::reader_size(BufReader::new(file)).ok()?;
    let (width, height) = (size.width as u64, size.height as u64);
    (width > 0 && height > 0).then_some((width, height))
}

/// Whether thumbnails are made of pictures of this type and size.
#[must_use]
pub fn is_drawn(media: &MediaType, width: i32, height: i32) -> bool {
    format(media).is_some()
        && u64::from(width.unsigned_abs()) * u64::from(height.unsigned_abs()) <= MOST_DECODED
}

fn format(media: &MediaType) -> Option<ImageFormat> {
    match media.as_str() {
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/png" => Some(ImageFormat::Png),
        "image/gif" => Some(ImageFormat::Gif),
        "image/webp" => Some(ImageFormat::WebP),
        "image/bmp" => Some(ImageFormat::Bmp),
        _ => None,
    }
}

/// Thumbnails of one picture.
pub struct Thumbnails {
    pub media: MediaType,
    /// Size and bytes of each, the largest first.
    pub all: Vec<(u32, Vec<u8>)>,
}

/// Makes the thumbnails of a picture: JPEG, or PNG if a part of it is transparent. They are turned as they are shown, and
/// of an animation they show the beginning.
///
/// # Errors
/// Why it cannot be decoded within the limits.
pub fn thumbnails(file: File, media: &MediaType) -> Result<Thumbnails, String> {
    let (picture, orientation) = decode(file, media).map_err(|error| error.to_string())?;
    let mut size = thumbnail_size(LARGEST_THUMBNAIL, picture.width().max(picture.height()));
    // Turned once it is small: a copy of the whole would take as much memory again.
    let whole = Sides::of(&picture);
    let mut shown = if whole.longest() > 3 * size {
        // From far above, averaging is as good, and much faster.
        let (width, height) = whole.scaled(2 * size);
        picture.thumbnail_exact(width, height)
    } else {
        picture
    };
    if whole.longest() > size {
        let (width, height) = whole.scaled(size);
        shown = shown.resize_exact(width, height, FilterType::CatmullRom);
    }
    shown.apply_orientation(orientation);
    let whole = match shown.width() > shown.height() {
        true => whole.lying(),
        false => whole.standing(),
    };
    let is_transparent =
        shown.color().has_alpha() && shown.to_rgba8().pixels().any(|p| p.0[3] < 255);
    let media = MediaType::of(if is_transparent {
        "image/png"
    } else {
        "image/jpeg"
    });
    let mut all = Vec::new();
    loop {
        if shown.width().max(shown.height()) > size {
            let (width, height) = whole.scaled(size);
            shown = shown.resize_exact(width, height, FilterType::CatmullRom);
        }
        let bytes = encode(&shown, is_transparent).map_err(|error| error.to_string())?;
        all.push((size, bytes));
        if size == SMALLEST_THUMBNAIL {
            return Ok(Thumbnails { media, all });
        }
        size /= 2;
    }
}

/// Width and height of a whole picture, from which those of each thumbnail follow, so that nothing is rounded twice.
#[derive(Clone, Copy)]
struct Sides(u32, u32);

impl Sides {
    fn of(picture: &DynamicImage) -> Self {
        Self(picture.width(), picture.height())
    }

    fn longest(self) -> u32 {
        self.0.max(self.1)
    }

    fn lying(self) -> Self {
        Self(self.longest(), self.0.min(self.1))
    }

    fn standing(self) -> Self {
        Self(self.0.min(self.1), self.longest())
    }

    /// Those of a thumbnail whose longest side is `size`.
    fn scaled(self, size: u32) -> (u32, u32) {
        let longest = u64::from(self.longest());
        let scaled = |side: u32| {
            let rounded = (u64::from(side) * u64::from(size) + longest / 2) / longest;
            u32::try_from(rounded).unwrap_or(size).max(1)
        };
        (scaled(self.0), scaled(self.1))
    }
}

fn decode(file: File, media: &MediaType) -> image::ImageResult<(DynamicImage, Orientation)> {
    let format = format(media).ok_or_else(|| io::Error::other("not a picture"))?;
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_DECODED {
        return Err(io::Error::other("too many pixels").into());
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder)?, orientation))
}

fn encode(picture: &DynamicImage, is_transparent: bool) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    if is_transparent {
        picture.to_rgba8().write_to(&mut bytes, ImageFormat::Png)?;
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        picture.to_rgb8().write_with_encoder(encoder)?;
    }
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbnail_is_the_next_larger_power_of_two_and_no_larger_than_the_picture_needs() {
        for (wanted, side, size) in [
            (32, 4_000, 32),
            (33, 4_000, 64),
            (256, 4_000, 256),
            (257, 4_000, 512),
            (1_024, 4_000, 1_024),
            (1_024, 300, 512),
            (1_024, 1, 32),
            (100, 300, 128),
        ] {
            assert_eq!(thumbnail_size(wanted, side), size, "{wanted} {side}");
        }
    }

    #[test]
    fn sizes_are_read_of_whatever_bytes() {
        use std::io::Write;
        let mut number = 0x9e37_79b9_u32;
        let mut random = move || {
            number ^= number << 13;
            number ^= number >> 17;
            number ^= number << 5;
            number
        };
        let heads: [&[u8]; 9] = [
            b"\xff\xd8\xff\xe0",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF\0\0\0\0WEBPVP8X",
            b"BM",
            b"II*\0",
            b"MM\0*",
            b"\0\0\0\x18ftypheic",
            b"\0\0\x01\0",
        ];
        for head in heads {
            for _ in 0..500 {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(head).unwrap();
                for _ in 0..random() % 200 {
                    let byte = [0, 1, 8, 0xff, random() as u8][random() as usize % 5];
                    file.write_all(&[byte]).unwrap();
                }
                let found = dimensions(&mut file);
                assert!(found.is_none_or(|(width, height)| width > 0 && height > 0));
            }
        }
    }
}
