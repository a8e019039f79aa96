//! What a file is, by its bytes. What the client says of it never counts.

use diesel_derive_newtype::DieselNewType;

use super::name::FileName;

/// The bytes that are looked at.
pub const HEAD: usize = 8 << 10;

/// A media type, such as `image/png`.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct MediaType(String);

/// What browsers show without running anything in it.
const SHOWN: [&str; 16] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "image/heif",
    "video/mp4",
    "video/webm",
    "audio/mpeg",
    "audio/ogg",
    "audio/x-flac",
    "audio/x-wav",
    "audio/aac",
    "audio/m4a",
    "text/plain",
];

impl MediaType {
    /// The type of a file that begins with `head`, its first 8 KiB or all of it. For plain text, `name` decides which: a
    /// table and a note look alike.
    #[must_use]
    pub fn sniff(head: &[u8], name: &FileName) -> Self {
        let known = infer::get(head).map(|found| found.mime_type());
        let found = match known {
            None | Some("text/xml" | "text/html" | "text/x-shellscript") if is_text(head) => {
                of_text(head, known, name)
            }
            Some(known) => known,
            None => "application/octet-stream",
        };
        Self(found.to_owned())
    }

    /// A type that the program gives.
    #[must_use]
    pub fn of(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// As in `Content-Type`, without parameters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a browser may show it in place. Everything else it may only save: it could run scripts of it.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        SHOWN.contains(&self.as_str())
    }

    /// Whether it is text in UTF-8.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.0.starts_with("text/") || self.0 == "application/json"
    }
}

/// Whether it is UTF-8 without control characters. The last character may be cut off.
fn is_text(head: &[u8]) -> bool {
    let text = match str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let is_plain = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b');
    !text.is_empty() && text.chars().all(is_plain)
}

fn of_text(head: &[u8], known: Option<&'static str>, name: &FileName) -> &'static str {
    let lower = head.to_ascii_lowercase();
    let has = |tag: &str| {
        lower
            .windows(tag.len())
            .any(|window| window == tag.as_bytes())
    };
    if has("<svg") {
        return "image/svg+xml";
    }
    if ["<html", "<!doctype html", "<script", "<body", "<iframe"]
        .into_iter()
        .any(has)
    {
        return "text/html";
    }
    match (known, &*name.extension()) {
        (Some(known), _) => known,
        (None, "csv") => "text/csv",
        (None, "md") => "text/markdown",
        (None, "json") => "application/json",
        (None, "svg") => "image/svg+xml",
        (None, "htm" | "html") => "text/html",
        (None, "xml") => "text/xml",
        (None, "js" | "mjs") => "text/javascript",
        (None, "css") => "text/css",
        _ => "text/plain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_decide_and_not_the_name() {
        for (head, name, expected) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "a.txt", "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a.html", "image/jpeg"),
            (b"GIF89a<script>alert(1)</script>", "a.html", "image/gif"),
            (b"%PDF-1.7\n", "a.png", "application/pdf"),
            (b"PK\x03\x04", "a.png", "application/zip"),
            (
                b"MZ\x90\0",
                "a.png",
                "application/vnd.microsoft.portable-executable",
            ),
            (b"<!DOCTYPE html><p>", "a.png", "text/html"),
            (b"  \n<ScRiPt>alert(1)</script>", "a.png", "text/html"),
            (
                b"<?xml version='1.0'?><svg onload='x'/>",
                "a.png",
                "image/svg+xml",
            ),
            (b"<!-- --><svg/>", "a.txt", "image/svg+xml"),
            (b"<?xml version='1.0'?><a/>", "a.txt", "text/xml"),
            (b"hello", "a.png", "text/plain"),
            (b"hello", "a.html", "text/html"),
            (b"x0,y\n1,2\n", "a.csv", "text/csv"),
            ("안녕".as_bytes(), "a", "text/plain"),
            // Cut in the middle of a character.
            (&"안녕".as_bytes()[..5], "a", "text/plain"),
            (b"\0\x01\x02\x03", "a.txt", "application/octet-stream"),
            (b"fr\xe8re", "a.txt", "application/octet-stream"),
        ] {
            let found = MediaType::sniff(head, &FileName::clean(name));

            assert_eq!(found.as_str(), expected, "{head:?} {name}");
        }
    }

    #[test]
    fn a_browser_shows_nothing_that_it_could_run() {
        for (name, is_shown) in [
            ("image/png", true),
            ("video/mp4", true),
            ("text/plain", true),
            ("image/svg+xml", false),
            ("text/html", false),
            ("text/xml", false),
            ("application/pdf", false),
            ("text/javascript", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(MediaType::of(name).is_shown(), is_shown, "{name}");
        }
    }
}
