//! The lexical tokens of a document: counted before parsing, since the parser recurses and allocates, and checked for
//! what the parser drops.

use std::collections::HashSet;

use async_graphql::Pos;

use crate::error::Error;

/// The deepest nesting of brackets that is passed to the parser. The parser's own limit of 64 applies to selection sets
/// only, after its grammar has recursed.
const NESTING: usize = 80;

/// # Errors
/// `LIMIT_EXCEEDED` for a document of more than `limit` tokens, or one nested so deeply that parsing it could overflow
/// the stack.
pub(super) fn check(source: &str, limit: usize) -> Result<(), Error> {
    let mut nesting = 0_usize;
    for (count, token) in tokens(source).enumerate() {
        match token {
            "{" | "[" | "(" => nesting += 1,
            "}" | "]" | ")" => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if count >= limit {
            return Err(exceeded("tokens", limit));
        }
        if nesting > NESTING {
            return Err(exceeded("nested brackets", NESTING));
        }
    }
    Ok(())
}

/// Duplicate fields of input objects, with the positions of the second ones, at most `most`. The document must be
/// parseable. The parser silently keeps the last one.
pub(super) fn repeated_fields(source: &str, most: usize) -> Vec<(&str, Pos)> {
    let mut repeated = Vec::new();
    let mut positions = Positions::of(source);
    // Open brackets of arguments, with the names so far for those of objects. Other braces are selections.
    let mut open: Vec<Option<HashSet<&str>>> = Vec::new();
    let mut previous = "";
    for token in tokens(source) {
        match token {
            "(" | "[" => open.push(None),
            "{" if open.is_empty() => {}
            "{" => open.push(Some(HashSet::new())),
            ")" | "]" | "}" => {
                open.pop();
            }
            ":" => {
                if let Some(Some(names)) = open.last_mut()
                    && !names.insert(previous)
                {
                    repeated.push((previous, positions.find(previous)));
                    if repeated.len() >= most {
                        break;
                    }
                }
            }
            _ => {}
        }
        previous = token;
    }
    repeated
}

/// Finds lines and columns in one pass: each position is searched from the one before.
struct Positions<'a> {
    source: &'a str,
    /// The number of bytes that have been counted.
    counted: usize,
    at: Pos,
}

impl<'a> Positions<'a> {
    fn of(source: &'a str) -> Self {
        Self {
            source,
            counted: 0,
            at: Pos { line: 1, column: 1 },
        }
    }

    /// The position of `part`, a slice of the source that does not begin before the part found last.
    fn find(&mut self, part: &str) -> Pos {
        let start = part.as_ptr() as usize - self.source.as_ptr() as usize;
        for c in self.source[self.counted..start].chars() {
            if c == '\n' {
                self.at.line += 1;
                self.at.column = 1;
            } else {
                self.at.column += 1;
            }
        }
        self.counted = start;
        self.at
    }
}

/// The tokens of `source`, and characters that belong to none.
fn tokens(source: &str) -> impl Iterator<Item = &str> {
    let mut rest = source;
    std::iter::from_fn(move || {
        loop {
            let length = match rest.as_bytes() {
                [] => return None,
                [b' ' | b'\t' | b'\r' | b'\n' | b',', ..] => 1,
                // The byte order mark is white space to GraphQL.
                _ if rest.starts_with('\u{feff}') => 3,
                [b'#', ..] => until(rest.as_bytes(), |b| matches!(b, b'\n' | b'\r')),
                bytes => {
                    let (token, after) = rest.split_at(token(bytes));
                    rest = after;
                    return Some(token);
                }
            };
            rest = &rest[length..];
        }
    })
}

fn exceeded(what: &'static str, limit: usize) -> Error {
    Error::LimitExceeded {
        what,
        limit: limit as u64,
    }
}

/// The length of the token that `rest` begins with. Invalid characters are left to the parser.
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
        first => match first.leading_ones() {
            0 => 1,
            bytes => (bytes as usize).min(rest.len()),
        },
    }
}

fn until(rest: &[u8], end: impl Fn(u8) -> bool) -> usize {
    rest.iter().position(|&b| end(b)).unwrap_or(rest.len())
}

/// The length of a string, with quotes. An unterminated string ends with its line, a block string with the text.
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
                // Escaped characters are ASCII; otherwise it is not a string.
                b'\\' if here.get(1).is_some_and(u8::is_ascii) => at += 2,
                _ => at += 1,
            }
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::{check, repeated_fields};

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
            ("é", 1),
        ] {
            assert_eq!(count(source), tokens, "{source}");
        }
    }

    #[test]
    fn fields_that_are_named_twice_in_one_object_are_found() {
        for (source, found) in [
            ("{ a(b: {c: 1, d: {c: 1}}) { c: d c: d } }", vec![]),
            ("{ a(b: [{c: 1}, {c: 1}], c: {c: \"c: c:\"}) }", vec![]),
            ("query($a: A = {b: 1, b: 2}) { a }", vec![("b", 1, 22)]),
            ("{\n  é(b: {c: 1\n c: 2}) }", vec![("c", 3, 2)]),
            (
                "{ a @b(c: {d: {e: 1 e: 2} d: 3}) { f } }",
                vec![("e", 1, 21), ("d", 1, 27)],
            ),
        ] {
            let repeated: Vec<_> = repeated_fields(source, 9)
                .into_iter()
                .map(|(name, pos)| (name, pos.line, pos.column))
                .collect();
            assert_eq!(repeated, found, "{source}");
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
