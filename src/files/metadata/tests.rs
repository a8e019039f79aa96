//! Pictures made here, with metadata put into them: what is kept shows the same, and tells nothing.

use std::io::{Cursor, Write};

use image::{DynamicImage, ImageFormat, RgbImage};

use super::*;

/// What must not be told.
const SECRET: &[u8] = b"37.5665N 126.9780E";

fn picture() -> DynamicImage {
    RgbImage::from_fn(40, 30, |x, y| {
        image::Rgb([(x * 6) as u8, (y * 8) as u8, 99])
    })
    .into()
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Exif with an orientation, a camera, and a directory with a place.
fn exif(turned: u8) -> Vec<u8> {
    let mut exif = b"II\x2a\0\x08\0\0\0".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        let mut entry = tag.to_le_bytes().to_vec();
        entry.extend(kind.to_le_bytes());
        entry.extend(count.to_le_bytes());
        entry.extend(value.to_le_bytes());
        entry
    };
    let length = SECRET.len() as u32;
    exif.extend(3_u16.to_le_bytes());
    exif.extend(entry(0x010f, 2, length, 50));
    exif.extend(entry(0x0112, 3, 1, u32::from(turned)));
    exif.extend(entry(0x8825, 4, 1, 50 + length));
    exif.extend([0; 4]);
    assert_eq!(exif.len(), 50);
    exif.extend(SECRET);
    exif.extend(1_u16.to_le_bytes());
    exif.extend(entry(0x001d, 2, length, 50 + length + 18));
    exif.extend([0; 4]);
    exif.extend(SECRET);
    exif
}

fn look(bytes: &[u8], media: &str) -> Result<Kept> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    kept(&file, bytes.len() as u64, media)
}

/// What is kept, as one piece.
fn clean(bytes: &[u8], media: &str) -> (Vec<u8>, Orientation) {
    let kept = look(bytes, media).unwrap();
    let mut all = Vec::new();
    for piece in kept.pieces() {
        match piece {
            Piece::Of(range) => all.extend(&bytes[range.start as usize..range.end as usize]),
            Piece::Bytes(bytes) => all.extend(bytes),
            Piece::Zeros(count) => all.resize(all.len() + *count as usize, 0),
        }
    }
    assert_eq!(all.len() as u64, kept.size);
    (all, kept.orientation)
}

fn tells(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

fn shows_the_same(one: &[u8], other: &[u8], format: ImageFormat) {
    let read = |bytes| {
        image::load_from_memory_with_format(bytes, format)
            .unwrap()
            .to_rgba8()
    };
    assert!(read(one) == read(other));
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let mut segment = vec![0xff, marker];
    segment.extend(u16::try_from(body.len() + 2).unwrap().to_be_bytes());
    segment.extend(body);
    segment
}

fn jpeg(turned: u8) -> Vec<u8> {
    let plain = encoded(ImageFormat::Jpeg);
    let mut bytes = plain[..2].to_vec();
    bytes.extend(segment(
        0xe1,
        &[b"Exif\0\0", exif(turned).as_slice()].concat(),
    ));
    bytes.extend(segment(
        0xe1,
        &[b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat(),
    ));
    bytes.extend(segment(0xed, &[b"Photoshop 3.0\0", SECRET].concat()));
    bytes.extend(segment(0xe2, &[b"MPF\0", SECRET].concat()));
    bytes.extend(segment(0xe0, &[b"JFXX\0", SECRET].concat()));
    bytes.extend(segment(0xfe, SECRET));
    bytes.extend(&plain[2..]);
    // A second picture behind the first, as phones add it.
    bytes.extend(&plain[..2]);
    bytes.extend(segment(0xe1, &[b"Exif\0\0", exif(1).as_slice()].concat()));
    bytes
}

#[test]
fn a_jpeg_tells_only_how_it_is_turned() {
    for turned in [1, 3, 6, 8] {
        let (kept, orientation) = clean(&jpeg(turned), "image/jpeg");

        assert!(!tells(&kept));
        shows_the_same(&kept, &encoded(ImageFormat::Jpeg), ImageFormat::Jpeg);
        assert_eq!(orientation.is_on_its_side(), turned >= 5);
        let told = image::ImageReader::with_format(Cursor::new(&kept), ImageFormat::Jpeg);
        let mut decoder = told.into_decoder().unwrap();
        let expected = image::metadata::Orientation::from_exif(turned);
        assert_eq!(
            image::ImageDecoder::orientation(&mut decoder).ok(),
            expected
        );
    }
    // Kept as it is once it tells nothing.
    let (once, _) = clean(&jpeg(6), "image/jpeg");
    assert_eq!(clean(&once, "image/jpeg").0, once);
    let plain = encoded(ImageFormat::Jpeg);
    assert_eq!(clean(&plain, "image/jpeg").0, plain);
}

#[test]
fn a_jpeg_that_is_cut_off_in_its_picture_shows_what_it_has() {
    let whole = jpeg(6);
    let scan = whole.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    let end = scan + 100;

    let (kept, _) = clean(&whole[..end], "image/jpeg");

    assert!(!tells(&kept) && kept.len() > 200);
    for end in [2, 3, 10, 100] {
        assert!(
            matches!(look(&whole[..end], "image/jpeg"), Err(Refusal::Damaged)),
            "{end}"
        );
    }
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    let mut chunk = (data.len() as u32).to_be_bytes().to_vec();
    chunk.extend(kind);
    chunk.extend(data);
    chunk.extend(crc.sum().to_be_bytes());
    chunk
}

#[test]
fn a_png_tells_only_how_it_is_turned() {
    let plain = encoded(ImageFormat::Png);
    let mut bytes = plain[..33].to_vec();
    bytes.extend(chunk(b"eXIf", &exif(6)));
    bytes.extend(chunk(b"tEXt", &[b"Comment\0", SECRET].concat()));
    bytes.extend(chunk(
        b"iTXt",
        &[b"XML:com.adobe.xmp\0\0\0\0\0", SECRET].concat(),
    ));
    bytes.extend(chunk(b"prVt", SECRET));
    bytes.extend(&plain[33..]);
    bytes.extend(SECRET);

    let (kept, orientation) = clean(&bytes, "image/png");

    assert!(!tells(&kept) && orientation.is_on_its_side());
    shows_the_same(&kept, &plain, ImageFormat::Png);
    assert!(kept.windows(4).any(|window| window == b"eXIf"));
    assert_eq!(clean(&plain, "image/png").0, plain);
    assert!(matches!(
        look(&bytes[..40], "image/png"),
        Err(Refusal::Damaged)
    ));
}

#[test]
fn a_webp_tells_only_how_it_is_turned() {
    let plain = encoded(ImageFormat::WebP);
    let riff = |kind: &[u8; 4], data: &[u8]| {
        let mut chunk = kind.to_vec();
        chunk.extend((data.len() as u32).to_le_bytes());
        chunk.extend(data);
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    };
    let mut body = b"WEBP".to_vec();
    // Exif and XMP; 40 x 30.
    body.extend(riff(b"VP8X", &[0x0c, 0, 0, 0, 39, 0, 0, 29, 0, 0]));
    body.extend(&plain[12..]);
    body.extend(riff(b"EXIF", &exif(6)));
    body.extend(riff(b"XMP ", SECRET));
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes.extend(SECRET);

    let (kept, orientation) = clean(&bytes, "image/webp");

    assert!(!tells(&kept) && orientation.is_on_its_side());
    shows_the_same(&kept, &plain, ImageFormat::WebP);
    let told = u32::from_le_bytes(kept[4..8].try_into().unwrap());
    assert_eq!(told as usize + 8, kept.len());
    assert_eq!(kept[20], 0x08);
    assert_eq!(clean(&plain, "image/webp").0, plain);
}

#[test]
fn a_gif_keeps_its_pictures_and_how_often_they_repeat() {
    let mut bytes = Vec::new();
    {
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
        encoder
            .set_repeat(image::codecs::gif::Repeat::Infinite)
            .unwrap();
        for _ in 0..3 {
            encoder
                .encode_frame(image::Frame::new(picture().to_rgba8()))
                .unwrap();
        }
    }
    let plain = bytes.clone();
    let end = bytes.pop().unwrap();
    bytes.extend([0x21, 0xfe, SECRET.len() as u8]);
    bytes.extend(SECRET);
    bytes.extend([0, 0x21, 0xff, 11]);
    bytes.extend(b"XMP DataXMP");
    bytes.push(SECRET.len() as u8);
    bytes.extend(SECRET);
    bytes.extend([0, end]);
    bytes.extend(SECRET);

    let (kept, _) = clean(&bytes, "image/gif");

    assert_eq!(kept, plain);
    assert!(plain.windows(8).any(|window| window == b"NETSCAPE"));
    assert!(matches!(
        look(&bytes[..20], "image/gif"),
        Err(Refusal::Damaged)
    ));
}

fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut atom = (body.len() as u32 + 8).to_be_bytes().to_vec();
    atom.extend(kind);
    atom.extend(body);
    atom
}

#[test]
fn a_heif_keeps_its_layout_and_loses_exif_and_xmp() {
    let infe = |id: u8, kind: &[u8; 4]| {
        atom(
            b"infe",
            &[&[2, 0, 0, 0, 0, id, 0, 0], &kind[..], b"\0"].concat(),
        )
    };
    let iinf = [
        &[0, 0, 0, 0, 0, 3][..],
        &infe(1, b"hvc1"),
        &infe(2, b"Exif"),
        &infe(3, b"mime"),
    ]
    .concat();
    let build = |places: [u32; 3]| {
        let mut iloc = vec![0, 0, 0, 0, 0x44, 0, 0, 3];
        for (id, place) in (1_u8..).zip(places) {
            iloc.extend([0, id, 0, 0, 0, 1]);
            iloc.extend(place.to_be_bytes());
            iloc.extend((SECRET.len() as u32).to_be_bytes());
        }
        let meta = [&[0; 4][..], &atom(b"iinf", &iinf), &atom(b"iloc", &iloc)].concat();
        [atom(b"ftyp", b"heic\0\0\0\0"), atom(b"meta", &meta)].concat()
    };
    let data = (build([0; 3]).len() + 8) as u32;
    let length = SECRET.len() as u32;
    let mut bytes = build([data, data + length, data + 2 * length]);
    let shown = b"the picture itself";
    bytes.extend(atom(b"mdat", &[&shown[..], SECRET, SECRET].concat()));
    bytes.extend(atom(b"uuid", SECRET));

    let (kept, _) = clean(&bytes, "image/heif");

    assert_eq!(kept.len(), bytes.len());
    assert!(!tells(&kept));
    assert!(kept.windows(shown.len()).any(|window| window == shown));
    // Tables that lead nowhere.
    let mut broken = bytes.clone();
    let iloc = broken
        .windows(4)
        .position(|window| window == b"iloc")
        .unwrap();
    broken[iloc + 8] = 0xff;
    assert!(matches!(look(&broken, "image/heif"), Err(Refusal::Damaged)));
}

#[test]
fn a_video_loses_what_its_maker_tells() {
    let udta = atom(b"udta", &atom(b"\xa9xyz", SECRET));
    let meta = atom(b"meta", SECRET);
    let track = atom(
        b"trak",
        &[atom(b"tkhd", b"kept in the track"), udta.clone()].concat(),
    );
    let moov = atom(
        b"moov",
        &[atom(b"mvhd", b"kept in the movie"), track, udta, meta].concat(),
    );
    let bytes = [atom(b"ftyp", b"isom"), moov, atom(b"mdat", b"frames")].concat();

    let (kept, _) = clean(&bytes, "video/mp4");

    assert_eq!(kept.len(), bytes.len());
    assert!(!tells(&kept));
    for part in [&b"kept in the track"[..], b"kept in the movie", b"frames"] {
        assert!(kept.windows(part.len()).any(|window| window == part));
    }
}

#[test]
fn a_tiff_loses_the_camera_and_the_place() {
    let bytes = exif(6);

    let (kept, orientation) = clean(&bytes, "image/tiff");

    assert_eq!(kept.len(), bytes.len());
    assert!(!tells(&kept) && orientation.is_on_its_side());
    assert_eq!(Orientation::of(&kept), orientation);
}

#[test]
fn whatever_the_bytes_are_it_ends() {
    let valid = [
        ("image/jpeg", jpeg(6)),
        ("image/png", encoded(ImageFormat::Png)),
        ("image/webp", encoded(ImageFormat::WebP)),
        ("image/gif", encoded(ImageFormat::Gif)),
        ("image/tiff", exif(6)),
        ("image/heif", atom(b"meta", &[0; 40])),
        (
            "video/mp4",
            atom(b"moov", &atom(b"trak", &atom(b"udta", &[0; 9]))),
        ),
    ];
    let mut number = 0x2545_f491_u32;
    let mut random = move || {
        number ^= number << 13;
        number ^= number >> 17;
        number ^= number << 5;
        number as usize
    };
    for (media, bytes) in valid {
        for _ in 0..2_000 {
            let mut changed = bytes.clone();
            changed.truncate(random() % bytes.len() + 1);
            for _ in 0..random() % 8 {
                let at = random() % changed.len();
                changed[at] = [0, 1, 0x7f, 0x80, 0xff, random() as u8][random() % 6];
            }
            if let Ok(kept) = look(&changed, media) {
                let of = kept.pieces().iter().map(|piece| match piece {
                    Piece::Of(range) => {
                        assert!(range.end <= changed.len() as u64, "{media}");
                        range.end - range.start
                    }
                    Piece::Bytes(bytes) => bytes.len() as u64,
                    Piece::Zeros(count) => *count,
                });
                assert_eq!(of.sum::<u64>(), kept.size);
            }
        }
    }
}
