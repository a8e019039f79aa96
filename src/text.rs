//! Rules for text that people enter, and the folding that decides which names are equal.

use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;

use crate::error::Rule;

/// Folds a text so that different spellings of a name become equal: removes invisible characters, then applies NFKC and
/// full case folding until nothing changes.
#[must_use]
pub fn fold(text: &str) -> String {
    let text: String = text.chars().filter(|c| !is_ignorable(*c)).collect();
    // Folding can produce characters that NFKC changes, hence the second round.
    let folded = caseless::default_case_fold_str(&text.nfkc().collect::<String>());
    caseless::default_case_fold_str(&folded.nfkc().collect::<String>())
        .nfkc()
        .collect()
}

/// Checks one line of text: NFC, trimmed, with a length in characters, and without control characters.
///
/// # Errors
/// `BLANK`, `TOO_SHORT`, `TOO_LONG` or `CONTROL_CHARACTER`.
pub fn line(text: &str, length: RangeInclusive<usize>) -> Result<String, Rule> {
    // Measured first, since normalising takes time. NFC never shortens a text to less than a tenth.
    let max = *length.end();
    if text.trim().chars().nth(max.saturating_mul(10)).is_some() {
        return Err(Rule::TooLong { max });
    }
    let text: String = text.trim().nfc().collect();
    if text.chars().any(|c| c.is_control() || is_deceptive(c)) {
        return Err(Rule::ControlCharacter);
    }
    if text.chars().all(|c| c.is_whitespace() || is_ignorable(c)) {
        return Err(Rule::Blank);
    }
    within(&text, length)?;
    Ok(text)
}

/// Checks a name, as [`line()`] does. Returns it, and the key that makes it unique.
///
/// # Errors
/// As [`line()`].
pub fn name(text: &str, length: RangeInclusive<usize>) -> Result<(String, String), Rule> {
    let max = *length.end();
    let name = line(text, length)?;
    let key = fold(&name);
    // Folding can make a text many times longer, though no real name.
    if key.chars().count() > 512 {
        return Err(Rule::TooLong { max });
    }
    Ok((name, key))
}

/// The beginning of a name, folded as keys are: at most 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prefix(String);

impl Prefix {
    /// # Errors
    /// `TOO_LONG`.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        let text = text.trim();
        if text.chars().nth(256).is_some() {
            return Err(Rule::TooLong { max: 256 });
        }
        Ok(Self(fold(text)))
    }

    /// The least and the greatest key that begin with it.
    #[must_use]
    pub fn bounds(&self) -> (&str, String) {
        (&self.0, format!("{}\u{10ffff}", self.0))
    }
}

/// Characters that make a line look like another line, or like two: direction marks, line separators, and spaces and
/// hyphens without width. Joiners, which emoji and some scripts need, are not among them.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Invisible characters (most of Unicode's Default_Ignorable_Code_Point) and the blank of Braille.
fn is_ignorable(c: char) -> bool {
    is_deceptive(c)
        || matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Checks text of several lines: NFC, lines that end with LF, white space as entered, with a length in characters, at
/// least one visible character, and no control characters other than line breaks and tabs.
///
/// # Errors
/// As [`line()`].
pub fn paragraphs(text: &str, length: RangeInclusive<usize>) -> Result<String, Rule> {
    let max = *length.end();
    // Measured first, as in `line`. A line break may have been two characters.
    if text.chars().nth(max.saturating_mul(10)).is_some() {
        return Err(Rule::TooLong { max });
    }
    let text: String = text.replace("\r\n", "\n").nfc().collect();
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
    {
        return Err(Rule::ControlCharacter);
    }
    if text.chars().all(|c| c.is_whitespace() || is_ignorable(c)) {
        return Err(Rule::Blank);
    }
    within(&text, length)?;
    Ok(text)
}

fn within(text: &str, length: RangeInclusive<usize>) -> Result<(), Rule> {
    let (min, max) = length.into_inner();
    match text.chars().count() {
        0 if min > 0 => Err(Rule::Blank),
        n if n < min => Err(Rule::TooShort { min }),
        n if n > max => Err(Rule::TooLong { max }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_fold_to_one_key() {
        for (one, other) in [
            ("Madang", "mADANG"),
            ("Straße", "STRASSE"),
            ("마당", "\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}"),
            ("ﬁsh", "FISH"),
            ("Ａｄｍｉｎ", "admin"),
            ("ΌΣΟΣ", "όσος"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("마당"), fold("마담"));
    }

    #[test]
    fn a_folded_text_stays_what_it_is() {
        for text in ["İstanbul", "ǰ", "ŉ", "ﬃ", "ᾳ", "각"] {
            assert_eq!(fold(&fold(text)), fold(text), "{text}");
        }
    }

    #[test]
    fn lines_are_trimmed_and_measured_in_characters() {
        assert_eq!(line("  마당 ", 1..=2), Ok("마당".to_owned()));
        assert_eq!(line("마당집", 1..=2), Err(Rule::TooLong { max: 2 }));
        assert_eq!(line(" \u{3000} ", 1..=2), Err(Rule::Blank));
        assert_eq!(line("a\nb", 1..=9), Err(Rule::ControlCharacter));
        assert_eq!(line("a", 2..=9), Err(Rule::TooShort { min: 2 }));
    }

    #[test]
    fn what_nobody_sees_makes_no_other_name_and_no_name_at_all() {
        for twin in ["Ya\u{200d}rd", "Yard\u{34f}", "Yard\u{fe0f}"] {
            assert_eq!(fold(twin), fold("yard"));
        }
        for deceptive in [
            "Ya\u{200b}rd",
            "\u{202e}draY",
            "Ya\u{ad}rd",
            "one\u{2028}two",
        ] {
            assert_eq!(line(deceptive, 1..=9), Err(Rule::ControlCharacter));
        }
        for blank in ["\u{3164}", "\u{2800}", "\u{34f}\u{200d}"] {
            assert_eq!(line(blank, 1..=9), Err(Rule::Blank));
        }
        assert_eq!(line("👩‍👩‍👧‍👦 ❤️", 1..=20), Ok("👩‍👩‍👧‍👦 ❤️".to_owned()));
    }

    #[test]
    fn a_text_of_any_length_is_measured_before_it_is_normalised() {
        assert_eq!(
            line(&"\u{fdfa}".repeat(1_000_000), 1..=9),
            Err(Rule::TooLong { max: 9 })
        );
        assert_eq!(
            Prefix::parse(&"x".repeat(257)),
            Err(Rule::TooLong { max: 256 })
        );
    }

    #[test]
    fn paragraphs_keep_their_white_space() {
        assert_eq!(paragraphs(" a\n\tb ", 1..=9), Ok(" a\n\tb ".to_owned()));
        assert_eq!(paragraphs("a\r\nb\r\n", 1..=4), Ok("a\nb\n".to_owned()));
        assert_eq!(paragraphs("aaa", 1..=2), Err(Rule::TooLong { max: 2 }));
        for bad in ["a\0", "a\rb", "a\u{85}b", "\u{1b}[31m"] {
            assert_eq!(
                paragraphs(bad, 1..=9),
                Err(Rule::ControlCharacter),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn paragraphs_are_composed_and_measured_then() {
        let decomposed = "\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}";

        assert_eq!(paragraphs(decomposed, 2..=2), Ok("마당".to_owned()));
        assert_eq!(
            paragraphs(&"\u{fdfa}".repeat(1_000_000), 1..=9),
            Err(Rule::TooLong { max: 9 })
        );
    }

    #[test]
    fn paragraphs_of_nothing_visible_are_blank() {
        for blank in [
            "",
            " \n",
            "\u{200b}",
            "\u{3164}\n\u{2800}",
            "\u{feff}\t\u{2060}",
            "\u{3000}\u{a0}",
        ] {
            assert_eq!(paragraphs(blank, 1..=9), Err(Rule::Blank), "{blank:?}");
        }
        // Joiners and direction marks are part of normal text.
        let family = "👩\u{200d}👩\u{200d}👧 \u{200f}שלום";
        assert_eq!(paragraphs(family, 1..=20), Ok(family.to_owned()));
    }
}
