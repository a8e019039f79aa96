//! Rules for text that people type in, and the folding that decides which names are the same.

use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;

use crate::error::Rule;

/// The form in which two spellings of a name are the same: NFKC and full case folding, until nothing changes any more.
#[must_use]
pub fn fold(text: &str) -> String {
    // Folding can bring forth characters that NFKC would compose or decompose, hence the second round.
    let folded = caseless::default_case_fold_str(&text.nfkc().collect::<String>());
    caseless::default_case_fold_str(&folded.nfkc().collect::<String>())
        .nfkc()
        .collect()
}

/// One line: NFC, trimmed, so many characters, none of them a control character.
///
/// # Errors
/// `BLANK`, `TOO_SHORT`, `TOO_LONG` or `CONTROL_CHARACTER`.
pub fn line(text: &str, length: RangeInclusive<usize>) -> Result<String, Rule> {
    let text: String = text.trim().nfc().collect();
    if text.chars().any(char::is_control) {
        return Err(Rule::ControlCharacter);
    }
    within(&text, length)?;
    Ok(text)
}

/// Text of several lines, kept as it was typed: so many characters, not only white space, and no control characters but
/// line breaks and tabs.
///
/// # Errors
/// As [`line`].
pub fn paragraphs(text: String, length: RangeInclusive<usize>) -> Result<String, Rule> {
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(Rule::ControlCharacter);
    }
    if text.trim().is_empty() {
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
    fn paragraphs_keep_their_white_space() {
        assert_eq!(
            paragraphs(" a\n\tb ".to_owned(), 1..=9),
            Ok(" a\n\tb ".to_owned())
        );
        assert_eq!(paragraphs(" \n".to_owned(), 1..=9), Err(Rule::Blank));
        assert_eq!(
            paragraphs("a\0".to_owned(), 1..=9),
            Err(Rule::ControlCharacter)
        );
        assert_eq!(
            paragraphs("aaa".to_owned(), 1..=2),
            Err(Rule::TooLong { max: 2 })
        );
    }
}
