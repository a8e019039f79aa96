//! What the specification refuses is refused, what it allows is not.

use async_graphql::Schema;
use serde_json::{Value, json};

use super::{Bench, raw, schema};

/// Documents that break exactly one rule, on the test schema.
const BROKEN: &[&str] = &[
    // Fields
    "{ nothing }",
    "{ item { nothing } }",
    "{ item { ... on Item { nothing } } }",
    "{ ...F } fragment F on Query { nothing }",
    "{ item }",
    "{ ok { nothing } }",
    "{ item { number { more } } }",
    // Arguments
    "{ ok(a: 1) }",
    "{ draw }",
    "{ echo(int: 1, int: 1) }",
    "{ draw(pen: null) }",
    "{ item { number @skip } }",
    // Values
    "{ echo(int: \"1\") }",
    "{ echo(int: 2147483648) }",
    "{ echo(int: 1.5) }",
    "{ echo(float: \"1\") }",
    "{ echo(id: 1.5) }",
    "{ echo(id: RED) }",
    "{ echo(colour: BLUE) }",
    "{ echo(colour: \"RED\") }",
    "{ echo(ints: [1, null]) }",
    "{ echo(ints: [1, \"2\"]) }",
    "{ echo(fallback: null) }",
    "{ draw(pen: 1) }",
    "{ draw(pen: {}) }",
    "{ draw(pen: {colour: RED, nothing: 1}) }",
    "{ draw(pen: {colour: RED, spare: {colour: RED, length: \"1\"}}) }",
    "query($c: Colour!) { draw(pen: {colour: $c, nothing: 1}) }",
    "query($c: Colour!) { draw(pen: {colour: $c, width: \"1\"}) }",
    "{ draw(pen: {colour: RED, colour: GREEN}) }",
    "{ choose(by: {}) }",
    "{ choose(by: {id: 1, name: \"a\"}) }",
    "{ choose(by: {id: null}) }",
    "mutation { store(file: \"#__graphql_file__:7\") }",
    // Variables
    "query($a: Nothing) { echo(int: $a) }",
    "query($a: Item) { echo(int: $a) }",
    "query($a: Int, $a: Int) { echo(int: $a) }",
    "query($a: Int) { ok }",
    "{ echo(int: $a) }",
    "query A { ...F } query B($a: Int) { ...F } fragment F on Query { echo(int: $a) }",
    "query($a: String) { echo(int: $a) }",
    "query($a: Int) { page(first: $a) { nodes { number } } echo(ints: [$a]) }",
    "query($a: [Int]) { echo(ints: $a) }",
    "query($a: Boolean) { ok @skip(if: $a) }",
    "query($a: Boolean = null) { ok @skip(if: $a) }",
    "query($a: Int = \"1\") { echo(int: $a) }",
    "query($a: Int! = null) { echo(int: $a) }",
    "query($a: Upload) { nodes(ids: $a) { number } }",
    // Fragments
    "{ ...F }",
    "{ ok } fragment F on Query { ok }",
    "{ ...F } fragment F on Nothing { ok }",
    "{ ...F } fragment F on Int { ok }",
    "{ ... on Colour { ok } }",
    "{ ... on Pen { ok } }",
    "{ ... on Item { number } }",
    "{ item { ...F } } fragment F on Query { ok }",
    "{ item { ...F } } fragment F on Item { child { ...F } }",
    "{ numbered { ... on PageInfo { hasNextPage } } }",
    // Directives
    "{ ok @nothing }",
    "query @skip(if: true) { ok }",
    "{ ok @deprecated }",
    "{ ok @skip(if: true) @skip(if: true) }",
    // Operations
    "subscription { numbers(upto: 1) { number } maybe { number } }",
    "subscription { ...F } fragment F on Feed { a: maybe { number } b: maybe { number } }",
    "subscription { __typename }",
    "{ ok } { ok }",
    "query A { ok } query A { ok }",
    "{ ok } query A { ok }",
];

#[tokio::test]
async fn each_broken_rule_is_told_once_with_its_place() {
    let bench = Bench::new();
    for query in BROKEN {
        let answer = bench.ask(query).await;

        let errors = answer["errors"].as_array().expect(query);
        assert!(!errors.is_empty(), "{query}");
        for error in errors {
            assert_eq!(
                error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED",
                "{query}: {error}"
            );
            assert!(error["locations"][0]["line"].is_u64(), "{query}: {error}");
        }
        let one_each = !query.contains("$a: Upload") && !query.contains("on Pen");
        assert!(errors.len() == 1 || !one_each, "{query}: {errors:#?}");
    }
}

#[tokio::test]
async fn all_broken_rules_are_told_at_once_in_the_order_of_the_text() {
    let query = "{\n  one\n  item { two }\n  ...F\n}\nfragment F on Query { three ok(four: 4) }";

    let answer = Bench::new().ask(query).await;

    let lines: Vec<_> = answer["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| {
            (
                &error["locations"][0]["line"],
                &error["locations"][0]["column"],
            )
        })
        .map(|(line, column)| (line.as_u64(), column.as_u64()))
        .collect();
    assert_eq!(
        lines,
        [(2, 3), (3, 10), (6, 23), (6, 32)].map(|(l, c)| (Some(l), Some(c)))
    );
    assert!(answer["data"].is_null());
}

#[tokio::test]
async fn a_text_that_breaks_thousands_of_rules_gets_a_bounded_answer() {
    let answer = Bench::new()
        .ask(&format!("{{ {} }}", "item { a } ".repeat(1_000)))
        .await;

    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn what_the_specification_allows_is_valid() {
    let bench = Bench::new();
    for query in [
        "query Q { ok }",
        "query A { ok } query B { item { number } } ",
        "{ echo(int: 1, float: 1, id: 1, ints: 1, colour: RED) }",
        "{ echo(int: null, ints: null, id: \"a\") }",
        "{ draw(pen: {colour: RED, tags: \"one\", spare: {colour: GREEN, length: 1}}) }",
        // A variable where the argument has a default, and within lists and objects.
        "query($a: Int) { echo(fallback: $a) }",
        "query($a: Int = 1) { echo(fallback: $a) }",
        "query($a: Int!) { echo(ints: [1, $a]) }",
        "query($a: [Int!]!) { echo(ints: $a) }",
        "query($a: Int, $c: Colour!) { draw(pen: {colour: $c, width: $a, length: $a}) }",
        "query($a: Boolean = true) { ok @skip(if: $a) }",
        "query($a: Int) { free(json: {a: [1, $a]}) }",
        "{ numbered { number ... on Numbered { secret ... on Item { child { number } } } } }",
        "{ item { ... @include(if: true) { number } ... on Numbered { number } } }",
        "{ __typename numbered { __typename } __schema { __typename } }",
        "{ a: __typename }",
        "subscription { ... on Feed { maybe { number } } maybe { number } }",
        "mutation($f: Upload) { store(file: $f) }",
        "# only a comment before\n{ ok # and within\n }",
    ] {
        let mut request = raw(query, json!({"a": 1, "c": "RED"}));
        if query.contains("[Int!]!") {
            request.variables = async_graphql::Variables::from_json(json!({"a": [1]}));
        } else if query.contains("Boolean") {
            request.variables = async_graphql::Variables::default();
        } else if query.contains("query A") {
            request.operation_name = Some("B".to_owned());
        }
        let prepared = bench.engine().prepare(request).await;
        assert!(prepared.is_ok(), "{query}: {:?}", prepared.err());
    }
}

/// What async-graphql's own rules refuse, ours refuse too.
#[tokio::test]
async fn no_rule_of_async_graphql_is_missing() {
    let plain = Schema::new(schema::Query, schema::Mutation, schema::Feed);
    let bench = Bench::new();
    // Stricter than the specification there: a variable for an argument that has a default.
    let allowed = ["query($a: Int) { echo(fallback: $a) }"];
    for query in BROKEN.iter().chain(&allowed) {
        let theirs = plain.execute(*query).await;
        if theirs.is_err() && !allowed.contains(query) {
            assert!(!bench.refused(query).await.is_empty(), "{query}");
        }
    }
}

#[tokio::test]
async fn an_operation_must_be_named_where_there_are_several() {
    let bench = Bench::new();
    let two = "query A { ok } query B { a: ok }";
    for (query, name, refused) in [
        (two, Some("A"), false),
        (two, Some("B"), false),
        (two, Some("C"), true),
        (two, None, true),
        ("{ ok }", Some("A"), true),
        ("query A { ok }", None, false),
    ] {
        let mut request = raw(query, Value::Null);
        request.operation_name = name.map(str::to_owned);

        let codes = match bench.engine().prepare(request).await {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|e| e.code().as_str()).collect(),
        };

        let expected: &[_] = if refused { &["BAD_REQUEST"] } else { &[] };
        assert_eq!(codes, expected, "{query} {name:?}");
    }
}

#[tokio::test]
async fn what_is_no_graphql_says_where() {
    for query in [
        "",
        "{",
        "{ ok ",
        "{ ok } }",
        "{ ok(a: ) }",
        "nonsense",
        "{ ok(a: \"\n\") }",
        "query { }",
    ] {
        let answer = Bench::new().ask(query).await;

        let error = &answer["errors"][0];
        assert_eq!(
            error["extensions"]["code"], "GRAPHQL_PARSE_FAILED",
            "{query}: {error}"
        );
        assert!(error["locations"][0]["column"].is_u64(), "{query}: {error}");
    }
}
