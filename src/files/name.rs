//! Names of files, as people see them. Files are stored under their ids, so that a name never is a path.

use diesel_derive_newtype::DieselNewType;
use unicode_normalization::UnicodeNormalization;

use crate::text;

/// The most characters of a name, and the most bytes: what file systems take.
const MOST: usize = 255;
/// The most characters of an extension that survives when a name is shortened.
const EXTENSION: usize = 16;

/// What a file is called: one that every common system can save.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct FileName(String);

impl FileName {
    /// Makes a name of what a client sent: its last part, if it is a path, in NFC, without characters that are invisible
    /// or that a file system refuses, and no longer than 255 bytes.
    #[must_use]
    pub fn clean(sent: &str) -> Self {
        let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
        // A bound before normalising, which takes time.
        let name: String = last.chars().take(4 * MOST).nfc().collect();
        let name: String = name
            .chars()
            .filter(|c| !c.is_control() && !text::is_deceptive(*c))
            .map(|c| match c {
                '<' | '>' | ':' | '"' | '|' | '?' | '*' => '_',
                c if c.is_whitespace() => ' ',
                c => c,
            })
            .collect();
        // Windows drops dots and blanks at the end; a dot in front hides a file.
        let name = name.trim_matches(|c: char| c == '.' || c == ' ');
        let name = match name.is_empty() {
            true => "file".to_owned(),
            false if is_device(name) => format!("_{name}"),
            false => name.to_owned(),
        };
        Self(shortened(name))
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the last dot, in lower case, or nothing.
    #[must_use]
    pub fn extension(&self) -> String {
        self.0
            .rsplit_once('.')
            .map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
    }
}

/// Whether Windows takes it for a device, whatever follows the first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_ascii_uppercase();
    let numbered = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"));
    let is_number = |rest: &str| {
        let mut digits = rest.chars();
        let digit = digits
            .next()
            .is_some_and(|c| matches!(c, '0'..='9' | '¹' | '²' | '³'));
        digit && digits.next().is_none()
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&&*stem)
        || numbered.is_some_and(is_number)
}

/// At most 255 bytes, with the extension.
fn shortened(name: String) -> String {
    if name.len() <= MOST {
        return name;
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.chars().count() <= EXTENSION => (stem, extension),
        _ => (name.as_str(), ""),
    };
    let dot = if extension.is_empty() { "" } else { "." };
    let end = stem.floor_char_boundary(MOST - dot.len() - extension.len());
    format!("{}{dot}{extension}", stem[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_saved_everywhere() {
        for (sent, name) in [
            ("photo.jpg", "photo.jpg"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("../..", "file"),
            ("", "file"),
            ("...", "file"),
            (".htaccess", "htaccess"),
            ("a\0b\n.txt", "ab.txt"),
            // Shown as "annexe.png" otherwise.
            ("ann\u{202e}gnp.exe", "anngnp.exe"),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("com1.tar.gz", "_com1.tar.gz"),
            ("LPT¹", "_LPT¹"),
            ("company.txt", "company.txt"),
            ("what?<now>|\"*:.txt", "what__now_____.txt"),
            ("trailing. . ", "trailing"),
            ("마당.txt", "마당.txt"),
            ("\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}.txt", "마당.txt"),
            ("e\u{301}te\u{301}.png", "été.png"),
            ("a\u{a0}b\tc", "a bc"),
        ] {
            assert_eq!(FileName::clean(sent).as_str(), name, "{sent:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        for long in ["a", "마", "🎉"] {
            let name = FileName::clean(&format!("{}.jpeg", long.repeat(300)));

            assert!(name.as_str().len() <= 255 && name.as_str().len() > 245);
            assert!(name.as_str().ends_with(".jpeg"), "{}", name.as_str());
            assert!(FileName::clean(&long.repeat(70_000)).as_str().len() <= 255);
        }
        let endless = format!("a.{}", "x".repeat(300));
        assert_eq!(FileName::clean(&endless).as_str().len(), 255);
    }
}
