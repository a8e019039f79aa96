//! Counts a document's lexical tokens and brackets without parsing it: the parser recurses and allocates, this does not.

use crate::error::Error;

/// Brackets within brackets that the parser is handed. Its own limit of 64 holds for selection sets only, and comes after
/// its grammar has recursed.
const NESTING: usize = 80;

/// # Errors
/// `LIMIT_EXCEEDED` for a document of more than `limit` tokens, or one nested so deeply that parsing it could overflow
/// the stack.
pub(super) fn check(source: &str, limit: usize) -> Result<(), Error> {
    let mut rest = source.as_bytes();
    let (mut tokens, mut nesting) = (0_usize, 0_usize);
    while let Some(&byte) = rest.first() {
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => 1,
            // The byte order mark, which is white space to GraphQL.
            0xEF if rest.starts_with("\u{feff}".as_bytes()) => 3,
            b'#' => until(rest, |b| matches!(b, b'\n' | b'\r')),
            _ => {
                tokens += 1;
                token(rest)
            }
        };
        match byte {
            b'{' | b'[' | b'(' => nesting += 1,
            b'}' | b']' | b')' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if tokens > limit {
            return Err(exceeded("tokens", limit));
        }
        if nesting > NESTING {
            return Err(exceeded("nested brackets", NESTING));
        }
        rest = &rest[length..];
    }
    Ok(())
}

fn exceeded(what: &'static str, limit: usize) -> Error {
    Error::LimitExceeded {
        what,
        limit: limit as u64,
    }
}

/// Bytes of the token that `rest` begins with: at least one. Text that is no token is the parser's to refuse.
fn token(rest: &[u8]) -> usize {
    match rest[0] {
        b'"' => string(rest),
        b'.' if rest.starts_with(b"...") => 3,
        b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
            until(rest, |b| !(b == b'_' || b.is_ascii_alphanumeric()))
        }
        b'-' | b'0'..=b'9' => {
            1 + until(&rest[1..], |b| {
                !(b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
            })
        }
        _ => 1,
    }
}

fn until(rest: &[u8], end: impl Fn(u8) -> bool) -> usize {
    rest.iter().position(|&b| end(b)).unwrap_or(rest.len())
}

/// Bytes of a string, quotes included; an unterminated one ends with its line, a block with the text.
fn string(rest: &[u8]) -> usize {
    let block = rest.starts_with(b"\"\"\"");
    let mut at = if block { 3 } else { 1 };
    while at < rest.len() {
        let here = &rest[at..];
        if block {
            if here.starts_with(b"\\\"\"\"") {
                at += 4;
                continue;
            }
            if here.starts_with(b"\"\"\"") {
                return at + 3;
            }
            at += 1;
        } else {
            match here[0] {
                b'"' => return at + 1,
                b'\n' | b'\r' => return at,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::check;

    /// The number of tokens, found by lowering the limit.
    fn count(source: &str) -> usize {
        (0..1_000)
            .find(|&limit| check(source, limit).is_ok())
            .expect("fewer than a thousand tokens")
    }

    #[test]
    fn tokens_are_those_of_the_specification() {
        for (source, tokens) in [
            ("", 0),
            ("{ a }", 3),
            ("{a(b:1,c:-2.5e+3)} # a comment { with } tokens", 11),
            ("{ a(b: \"x { y\\\" } z\") }", 8),
            ("{ a(b: \"\"\"x \\\"\"\" { y\"\"\") }", 8),
            ("query Q($x: [Int!]!) { ...F @include(if: $x) }", 24),
            ("\u{feff}{ a }", 3),
            ("\"unterminated", 1),
            ("\"\\", 1),
            ("é", 2),
        ] {
            assert_eq!(count(source), tokens, "{source}");
        }
    }

    #[test]
    fn deep_brackets_are_refused_whatever_they_are() {
        for bracket in ["{", "[", "(", "{a"] {
            assert!(check(&bracket.repeat(81), 1_000).is_err(), "{bracket}");
            assert!(check(&bracket.repeat(80), 1_000).is_ok(), "{bracket}");
        }
    }
}
