//! Parses a document, and converts the parser's errors.

use async_graphql::parser::{self, parse_query, types::ExecutableDocument};

use super::lexer;
use crate::error::{Error, short};

/// # Errors
/// `LIMIT_EXCEEDED` before parsing, `GRAPHQL_PARSE_FAILED` for invalid syntax, `GRAPHQL_VALIDATION_FAILED` for names
/// that are defined twice.
pub(super) fn parse(source: &str, tokens: usize) -> Result<ExecutableDocument, Error> {
    lexer::check(source, tokens)?;
    parse_query(source).map_err(|error| {
        let locations = error.positions().collect();
        match error {
            parser::Error::RecursionLimitExceeded => Error::LimitExceeded {
                what: "nested selections",
                limit: 64,
            },
            // The parser reports these because it builds maps. In GraphQL they are validation errors.
            parser::Error::MultipleOperations { .. } => Error::Validation {
                message: "An anonymous operation must be the only one of its document.".to_owned(),
                locations,
            },
            parser::Error::OperationDuplicated { operation, .. } => Error::Validation {
                message: format!(
                    "There can be only one operation named \"{}\".",
                    short(operation)
                ),
                locations,
            },
            parser::Error::FragmentDuplicated { fragment, .. } => Error::Validation {
                message: format!(
                    "There can be only one fragment named \"{}\".",
                    short(fragment)
                ),
                locations,
            },
            parser::Error::MissingOperation => Error::Validation {
                message: "The document contains no operation.".to_owned(),
                locations,
            },
            other => Error::Parse {
                message: sentence(&other.to_string()),
                locations,
            },
        }
    })
}

/// The parser draws the position below its message. Only what it expected is useful to a program.
fn sentence(drawing: &str) -> String {
    let last = drawing.lines().last().unwrap_or_default();
    let expected = last.trim_start().trim_start_matches("= ");
    format!("Syntax error: {expected}.")
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::error::{Error, ErrorCode};

    #[test]
    fn a_syntax_error_says_where_and_what_was_expected() {
        let Err(Error::Parse { message, locations }) = parse("{\n  a(\n}", 100) else {
            panic!("parsed")
        };

        assert!(message.starts_with("Syntax error: expected "), "{message}");
        assert!(!message.contains('\n'), "{message}");
        assert_eq!((locations[0].line, locations[0].column), (3, 1));
    }

    #[test]
    fn names_that_are_defined_twice_are_matters_of_validation() {
        for document in [
            "{ a } { b }",
            "query A { a } { b }",
            "query A { a } query A { b }",
            "{ ...F } fragment F on Q { a } fragment F on Q { a }",
            "fragment F on Q { a }",
        ] {
            let code = parse(document, 100).expect_err(document).code();
            assert_eq!(code, ErrorCode::GraphqlValidationFailed, "{document}");
        }
    }

    #[test]
    fn the_deepest_text_that_reaches_the_parser_does_not_overflow_the_stack() {
        let deep = [
            "{a".repeat(80),
            format!("{{a(b:{}", "[".repeat(78)),
            format!("{{a(b:{}", "{c:".repeat(78)),
            format!("query($a:{}", "[".repeat(79)),
            format!("{}{}", "{a".repeat(60), "}".repeat(60)),
        ];
        for source in deep {
            // Half the stack of the server's threads. Without optimisation, frames are large.
            std::thread::Builder::new()
                .stack_size(1 << 20)
                .spawn(move || drop(parse(&source, 5_000)))
                .expect("a thread")
                .join()
                .expect("no overflow");
        }
    }
}
