//! The lexical tokens of a document: counted before parsing, since the parser recurses and allocates.

use apollo_parser::{Lexer, TokenKind};
use async_graphql::Pos;

use crate::error::{Error, short};

/// The deepest nesting of brackets that is passed to the parser.
const NESTING: usize = 80;

/// Where the tokens of a document are.
pub(super) struct Tokens {
    /// The document with spaces in place of commas. Both mean nothing, but the parser takes a name before a comma and a
    /// colon for a field.
    pub source: String,
    /// The offset in bytes and the position of each token, in order, and of the end.
    places: Vec<(usize, Pos)>,
}

impl Tokens {
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED` for what is no token; `LIMIT_EXCEEDED` for a document of more than `most` tokens, or one
    /// nested so deeply that parsing it could overflow the stack.
    pub fn of(source: &str, most: usize) -> Result<Self, Error> {
        let (mut places, mut spaced) = (Vec::new(), source.as_bytes().to_vec());
        let (mut counted, mut at, mut nesting) = (0, Pos { line: 1, column: 1 }, 0_usize);
        for token in Lexer::new(source) {
            let broken = |offset: usize, sentence: &str| Error::Parse {
                message: format!("Syntax error: {}.", short(sentence)),
                locations: vec![advanced(
                    at,
                    source.get(counted..offset).unwrap_or_default(),
                )],
            };
            // Nothing behind it is counted, so it must not reach the parser.
            let token = token.map_err(|error| broken(error.index(), error.message()))?;
            match token.kind() {
                TokenKind::Whitespace | TokenKind::Comment | TokenKind::Eof => continue,
                TokenKind::Comma => {
                    spaced[token.index()] = b' ';
                    continue;
                }
                // The parser's lexer accepts it.
                TokenKind::StringValue if is_broken(token.data()) => {
                    return Err(broken(token.index(), "a string ends in its line"));
                }
                TokenKind::LCurly | TokenKind::LBracket | TokenKind::LParen => nesting += 1,
                TokenKind::RCurly | TokenKind::RBracket | TokenKind::RParen => {
                    nesting = nesting.saturating_sub(1);
                }
                _ => {}
            }
            let offset = token.index();
            at = advanced(at, source.get(counted..offset).unwrap_or_default());
            counted = offset;
            places.push((offset, at));
            if places.len() > most {
                return Err(exceeded("tokens", most));
            }
            if nesting > NESTING {
                return Err(exceeded("nested brackets", NESTING));
            }
        }
        let end = advanced(at, source.get(counted..).unwrap_or_default());
        places.push((source.len(), end));
        let source = String::from_utf8(spaced).map_err(|error| Error::internal(error))?;
        Ok(Self { source, places })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.places.len() - 1
    }

    /// The position of the token at this offset or, between tokens, of the next one.
    pub fn at(&self, offset: usize) -> Pos {
        let place = self.places.partition_point(|(start, _)| *start < offset);
        let place = self.places.get(place).or(self.places.last());
        place.map_or(Pos { line: 1, column: 1 }, |(_, at)| *at)
    }
}

/// Whether a string that is no block string goes over the end of its line.
fn is_broken(string: &str) -> bool {
    !string.starts_with("\"\"\"") && string.contains(['\n', '\r'])
}

fn advanced(from: Pos, over: &str) -> Pos {
    over.chars().fold(from, |at, c| match c {
        '\n' => Pos {
            line: at.line + 1,
            column: 1,
        },
        _ => Pos {
            column: at.column + 1,
            ..at
        },
    })
}

fn exceeded(what: &'static str, limit: usize) -> Error {
    Error::LimitExceeded {
        what,
        limit: limit as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of tokens, found by lowering the limit.
    fn count(source: &str) -> usize {
        (0..1_000)
            .find(|&limit| Tokens::of(source, limit).is_ok())
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
        ] {
            assert_eq!(count(source), tokens, "{source}");
        }
    }

    #[test]
    fn nothing_passes_that_was_not_counted() {
        for start in ["\"unterminated\n", "é", "1a", "?", "\"\"\""] {
            let many = format!("{start} {}", "{a(".repeat(1_000));
            assert!(Tokens::of(&many, 100).is_err(), "{start}");
        }
    }

    #[test]
    fn a_position_counts_lines_and_characters() {
        let tokens = Tokens::of("{\n  a(b: \"é\", c: 1)\n}", 100).unwrap();
        for (offset, line, column) in [(0, 1, 1), (4, 2, 3), (15, 2, 13), (21, 3, 1), (99, 3, 2)] {
            assert_eq!(tokens.at(offset), Pos { line, column }, "{offset}");
        }
    }

    #[test]
    fn deep_brackets_are_refused_whatever_they_are() {
        for bracket in ["{", "[", "(", "{a"] {
            assert!(Tokens::of(&bracket.repeat(81), 1_000).is_err(), "{bracket}");
            assert!(Tokens::of(&bracket.repeat(80), 1_000).is_ok(), "{bracket}");
        }
    }
}
