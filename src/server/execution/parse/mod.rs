//! Parses a document with apollo-parser, and converts it to the types of async-graphql, whose own grammar refuses some
//! valid documents, accepts some invalid ones, and recurses before it counts.

mod convert;
mod tokens;

use apollo_parser::Parser;
use async_graphql::{Pos, parser::types::ExecutableDocument};

use self::{convert::Converter, tokens::Tokens};
use crate::error::{Error, short};

/// A document, and what its type cannot tell.
#[derive(Debug)]
pub(super) struct Parsed {
    pub document: ExecutableDocument,
    /// How many its text has.
    pub tokens: usize,
    /// Fields that stand twice in one input object, with the positions of the second ones, in the order of the text.
    pub repeated: Vec<(String, Pos)>,
}

/// # Errors
/// `LIMIT_EXCEEDED` before parsing, `GRAPHQL_PARSE_FAILED` for invalid syntax, `GRAPHQL_VALIDATION_FAILED` for names
/// that are defined twice.
pub(super) fn parse(source: &str, most_tokens: usize) -> Result<Parsed, Error> {
    let tokens = Tokens::of(source, most_tokens)?;
    let tree = Parser::new(&tokens.source)
        .recursion_limit(RECURSION)
        .parse();
    if let Some(error) = tree.errors().next() {
        return Err(Error::Parse {
            message: format!("Syntax error: {}.", short(error.message())),
            locations: vec![tokens.at(error.index())],
        });
    }
    Converter::new(&tokens).document(&tree.document())
}

/// More than the brackets that [`Tokens`] allows.
const RECURSION: usize = 200;

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use apollo_parser::{Lexer, TokenKind};

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

    /// The documents that the tests below vary.
    const DOCUMENTS: [&str; 6] = [
        "{a}",
        "query A($a: Int!, $b: [ID!]! = [\"x\"] @d, $c: I = {d: 1.5e3, e: {f: null}}) @g(h: $a) { i }",
        "{ a: b(c: -1, d: true, e: FALSE, f: [$g, 2], h: {i: \"\\u00e9\"}, j: \"\"\"k \\\"\"\" l\"\"\") @m { n } }",
        "mutation { a { ...B ... on C @d { e } ... { f } ... @g { h } } } fragment B on C @i { j }",
        "subscription on { on on: on(on: on) { ...query ... on on { fragment } } } fragment query on on { on }",
        "query true { null: type(input: enum) { true } }",
    ];

    /// A document without the positions of its parts.
    fn shape(source: &str) -> serde_json::Value {
        fn bare(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::Object(fields) => {
                    fields.remove("pos");
                    fields.values_mut().for_each(bare);
                }
                serde_json::Value::Array(items) => items.iter_mut().for_each(bare),
                _ => {}
            }
        }
        let parsed = parse(source, 10_000).unwrap_or_else(|error| panic!("{source}: {error:?}"));
        let mut shape = serde_json::to_value(parsed.document).unwrap();
        bare(&mut shape);
        shape
    }

    /// The documents above, those that the README shows, the seeds of the fuzz target, and what the tests send as it stands
    /// there.
    fn documents() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        let readme = read(&root.join("README.md"));
        let shown = readme.split("```graphql\n").skip(1);
        let shown = shown.map(|block| block.split("```").next().unwrap().to_owned());
        let seeds = fs::read_dir(root.join("fuzz/seeds/document")).unwrap();
        let seeds = seeds.map(|seed| read(&seed.unwrap().path()));
        let mut folders = vec![root.join("tests/it")];
        let mut sent = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = read(&path).replace("\\\"", "\u{0}");
                let texts = source.split('"').map(|text| text.replace('\u{0}', "\""));
                sent.extend(texts.filter(|text| text.contains('{') && parse(text, 10_000).is_ok()));
            }
        }
        let own = DOCUMENTS.map(str::to_owned).into_iter();
        own.chain(shown).chain(seeds).chain(sent).collect()
    }

    #[test]
    fn what_is_ignored_may_stand_between_any_two_tokens() {
        let documents = documents();
        assert!(documents.len() > 300, "{}", documents.len());
        for source in &documents {
            let tokens = Lexer::new(source).map(Result::unwrap);
            let tokens: Vec<&str> = tokens
                .filter(|token| {
                    use TokenKind::{Comma, Comment, Eof, Whitespace};
                    !matches!(token.kind(), Whitespace | Comment | Comma | Eof)
                })
                .map(|token| token.data())
                .collect();
            let expected = shape(source);
            for ignored in [
                " ",
                ",",
                "\n",
                "\r",
                "\r\n",
                "\t",
                "\u{feff}",
                "#\n",
                ", # } \"\"\" \r\n,",
            ] {
                let varied = format!("{ignored}{}{ignored}", tokens.join(ignored));
                assert_eq!(shape(&varied), expected, "{varied:?}");
            }
        }
    }

    #[test]
    fn whatever_is_left_out_or_doubled_is_parsed_or_refused_but_never_a_panic() {
        for source in DOCUMENTS {
            for at in (0..source.len()).filter(|at| source.is_char_boundary(*at)) {
                let (start, end) = source.split_at(at);
                let one = end.chars().next().unwrap();
                let without = &end[one.len_utf8()..];
                for varied in [
                    start.to_owned(),
                    format!("{start}{without}"),
                    format!("{start}{one}{end}"),
                    format!("{start}\"{end}"),
                    format!("{start}\\{end}"),
                    format!("{start}é{end}"),
                ] {
                    let _ = parse(&varied, 1_000);
                }
            }
        }
    }

    #[test]
    fn the_grammar_is_that_of_the_specification() {
        for accepted in [
            "query($n: Int !) { a }",
            "query($n: [ ID! ] !) { a }",
            "{ ... on#c\nA { b } }",
            "query($n: Int = 1 @d) { a }",
            "{ a(b: 0, c: -0.0, d: 1e9) }",
        ] {
            assert!(parse(accepted, 100).is_ok(), "{accepted}");
        }
        for refused in [
            "",
            "# only a comment",
            "queryA{a}",
            "{a(isBanned:truefirst:1)}",
            "{ a() }",
            "query() { a }",
            "query($a: Int = $b) { a }",
            "{}",
            "{ a {} }",
            "{ a(b: 01) }",
            "{ a(b: 1c) }",
            "{ a(b: .5) }",
            "{ a(b: \"\\q\") }",
            "{ a(b: \"x) }",
            "{ a(b: \"\"\"x\"\") }",
            "{ ... on }",
            "fragment on on A { a } { b }",
            "{ a } }",
            "type A { b: Int }",
            "{ a } extend type A { b: Int }",
        ] {
            let code = parse(refused, 100).expect_err(refused).code();
            assert_eq!(code, ErrorCode::GraphqlParseFailed, "{refused}");
        }
    }

    #[test]
    fn strings_are_unescaped_and_block_strings_are_dedented() {
        for (written, text) in [
            (r#""a\"b\\\u00e9\n""#, "a\"b\\é\n"),
            (r#""\ud83d\ude00\u{1F600}""#, "😀😀"),
            (r#""""a \""" b""""#, "a \"\"\" b"),
            ("\"\"\"\n    one\n      two\n    \"\"\"", "one\n  two"),
            (r#""""\n""""#, "\\n"),
        ] {
            let shape = shape(&format!("{{ a(b: {written}) }}")).to_string();
            let expected = serde_json::to_string(text).unwrap();
            assert!(shape.contains(&expected), "{written}: {shape}");
        }
    }

    #[test]
    fn fields_that_are_named_twice_in_one_object_are_found() {
        for (source, found) in [
            ("{ a(b: {c: 1, d: {c: 1}}) { c: d c: d } }", vec![]),
            ("{ a(b: [{c: 1}, {c: 1}], c: {c: \"c: c:\"}) }", vec![]),
            ("query($a: A = {b: 1, b: 2}) { a }", vec![("b", 1, 22)]),
            ("{\n  a(b: {c: \"é\"\n c: 2}) }", vec![("c", 3, 2)]),
            (
                "{ a @b(c: {d: {e: 1 e: 2} d: 3}) { f } }",
                vec![("e", 1, 21), ("d", 1, 27)],
            ),
        ] {
            let parsed = parse(source, 100).unwrap();
            let repeated = parsed.repeated.iter();
            let repeated: Vec<_> = repeated
                .map(|(n, at)| (n.as_str(), at.line, at.column))
                .collect();
            assert_eq!(repeated, found, "{source}");
        }
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
