//! Each limit, crossed.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use async_graphql::Response;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use super::{Bench, raw, sent};
use crate::{
    access::{Actor, Caller},
    budget::{Account, Budget, Turning},
    error::{Error, Language},
};

/// What the refusal of `query` says is exceeded.
async fn exceeded<E: async_graphql::Executor>(bench: &Bench<E>, query: &str) -> Vec<&'static str> {
    let Err(errors) = bench.prepare(query, json!({})).await else {
        return Vec::new();
    };
    let what = |error: &Error| match error {
        Error::LimitExceeded { what, .. } => *what,
        other => panic!("{other}"),
    };
    errors.iter().map(what).collect()
}

/// `{ item { child { … number } } }` of so many levels.
fn deep(levels: usize) -> String {
    let inner = "child { ".repeat(levels - 2);
    format!("{{ item {{ {inner} number {} }}", "} ".repeat(levels - 1))
}

fn several(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn depth_counts_fields_and_not_fragments() {
    let bench = Bench::new();
    let fragments = format!("{{ ...F }} fragment F on Query {}", deep(15));
    let inline = format!("{{ {} ok {} }}", "... { ".repeat(40), "}".repeat(40));

    assert!(exceeded(&bench, &deep(15)).await.is_empty());
    assert_eq!(exceeded(&bench, &deep(16)).await, ["depth"]);
    assert!(exceeded(&bench, &fragments).await.is_empty());
    assert!(exceeded(&bench, &inline).await.is_empty());
}

#[tokio::test]
async fn the_greatest_depth_runs_within_the_stack_of_a_thread() {
    let data = Bench::new().data(&deep(15)).await;

    assert_eq!(
        data.pointer(&format!("/item{}/number", "/child".repeat(13))),
        Some(&json!(14))
    );
}

#[tokio::test]
async fn aliases_directives_and_root_fields_are_counted() {
    let bench = Bench::new();
    let aliases = |n| {
        format!(
            "{{ item {{ {} }} }}",
            several(n, |i| format!("a{i}: number"))
        )
    };
    let directives = |n| format!("{{ item {{ {} }} }}", "number @skip(if: false) ".repeat(n));
    let roots = |n| format!("{{ {} }}", several(n, |i| format!("a{i}: ok")));

    for (limit, query, what) in [
        (30, &aliases as &dyn Fn(usize) -> String, "aliases"),
        (20, &directives, "directives"),
        (20, &roots, "root fields"),
    ] {
        assert!(exceeded(&bench, &query(limit)).await.is_empty(), "{what}");
        assert_eq!(exceeded(&bench, &query(limit + 1)).await, [what]);
    }
}

#[tokio::test]
async fn fragments_hide_no_aliases() {
    let fields = several(16, |i| format!("a{i}: number"));
    let query = format!("{{ item {{ ...F child {{ ...F }} }} }} fragment F on Item {{ {fields} }}");

    assert_eq!(exceeded(&Bench::new(), &query).await, ["aliases"]);
}

#[tokio::test]
async fn root_fields_that_merge_count_once() {
    let query = format!("{{ {} }}", "ok ".repeat(100));

    assert!(exceeded(&Bench::new(), &query).await.is_empty());
}

#[tokio::test]
async fn tokens_are_counted_before_anything_is_parsed() {
    let bench = Bench::new().limit(|limits| limits.tokens = 10);

    assert!(
        exceeded(&bench, "{ ok ok ok ok ok ok ok ok }")
            .await
            .is_empty()
    );
    assert_eq!(
        exceeded(&bench, "{ ok ok ok ok ok ok ok ok ok }").await,
        ["tokens"]
    );
    assert_eq!(exceeded(&bench, &"{".repeat(100_000)).await, ["tokens"]);
}

#[tokio::test]
async fn a_hundred_thousand_braces_do_not_overflow_the_stack() {
    let bench = Bench::new().limit(|limits| limits.tokens = 1_000_000);
    for text in ["{", "{a", "{a(b:[", "{a(b:{c:", "query($a:[", "...{"] {
        let refused = bench.refused(&text.repeat(100_000)).await;
        assert_eq!(refused, ["LIMIT_EXCEEDED"], "{text}");
    }
}

#[tokio::test]
async fn documents_that_expand_without_end_are_refused_quickly() {
    let bench = Bench::zoo();
    let doubling = |levels: usize, name: &str| {
        let fragments = several(levels, |i| {
            let next = i + 1;
            format!("fragment F{i} on {name} {{ ...F{next} ... on {name} {{ ...F{next} }} }}")
        });
        format!("{fragments} fragment F{levels} on {name} {{ id }}")
    };
    let bombs = [
        format!("{{ dog {{ ...F0 }} }} {}", doubling(60, "Dog")),
        format!("{{ dog {{ ...F0 }} }} {}", doubling(14, "Dog")),
        // Below fields, where merging does not help; within the depth.
        format!(
            "{{ dog {{ ...F0 }} }} {} fragment F12 on Dog {{ id }}",
            several(12, |i| format!(
                "fragment F{i} on Dog {{ twin {{ ...F{n} }} friend {{ ...F{n} }} friends {{ ...F{n} }} }}",
                n = i + 1
            ))
        ),
        // Each interface once more for each of its types.
        format!(
            "{{ being(id: 1) {{ {} id {} }} }}",
            "friend { ".repeat(12),
            "} ".repeat(12)
        ),
    ];
    for bomb in bombs {
        let began = Instant::now();

        let refused = bench.refused(&bomb).await;

        assert!(refused.contains(&"LIMIT_EXCEEDED"), "{bomb}: {refused:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "{bomb}");
    }
}

#[tokio::test]
async fn long_chains_of_fragments_do_not_overflow_the_stack() {
    let chain = several(800, |i| format!("fragment F{i} on Dog {{ ...F{} }}", i + 1));
    for end in [
        "fragment F800 on Dog { id }",
        "fragment F800 on Dog { ...F0 }",
    ] {
        let refused = Bench::zoo()
            .refused(&format!("{{ dog {{ ...F0 }} }} {chain} {end}"))
            .await;
        assert_eq!(refused, ["LIMIT_EXCEEDED"]);
    }
}

#[tokio::test]
async fn complexity_counts_objects_by_pages_ids_and_lists() {
    let bench = Bench::new();
    for (query, cost) in [
        ("{ ok }", 0),
        ("{ item { number secret } }", 1),
        ("{ item { child { number } } }", 2),
        ("{ page(first: 10) { nodes { number } } }", 11),
        (
            "{ page(last: 10) { edges { cursor node { number } } } }",
            21,
        ),
        (
            "{ page { nodes { child { number } } pageInfo { hasNextPage } } }",
            61,
        ),
        ("{ page(first: null) { nodes { number } } }", 21),
        ("{ items { number } }", 100),
        ("{ items { child { number } } }", 200),
        ("{ fewItems { child { number } } }", 6),
        ("{ nodes(ids: [1, 2, 3]) { number } }", 3),
        ("{ nodes(ids: 1) { ... on Item { child { number } } } }", 2),
        ("{ __schema { types { name } } __typename }", 0),
        ("{ item { counted } }", 31),
        ("{ item { counted(word: null) } }", 31),
        ("{ item { counted(word: \"a\") } }", 36),
        ("{ page(first: 2) { nodes { counted(word: \"a\") } } }", 73),
        (
            "query($w: String = \"a\") { item { counted(word: $w) } }",
            36,
        ),
    ] {
        let exactly = Bench::new().limit(|limits| limits.complexity = cost);
        assert!(exceeded(&exactly, query).await.is_empty(), "{query}");
        if cost > 0 {
            let below = Bench::new().limit(|limits| limits.complexity = cost - 1);
            assert_eq!(exceeded(&below, query).await, ["complexity"], "{query}");
        }
    }
    let query = "query($n: Int = 100) { page(first: $n) { nodes { items { number } } } }";
    assert_eq!(
        bench.refused_with(query, json!({})).await,
        ["LIMIT_EXCEEDED"]
    );
    assert_eq!(
        bench.refused_with(query, json!({"n": 100})).await,
        ["LIMIT_EXCEEDED"]
    );
    assert!(bench.refused_with(query, json!({"n": 2})).await.is_empty());
}

#[tokio::test]
async fn a_page_out_of_range_is_for_its_resolver_to_refuse() {
    let bench = Bench::new();
    for first in [-1, 0, 101, 2_000_000_000] {
        let query = format!("{{ page(first: {first}) {{ nodes {{ items {{ number }} }} }} }}");

        let answer = bench.ask(&query).await;

        assert_eq!(
            answer["errors"][0]["extensions"]["code"], "INVALID",
            "{first}"
        );
    }
}

#[tokio::test]
async fn introspection_by_the_standard_query_passes_on_the_real_depth() {
    let bench = Bench::new().limit(|limits| limits.depth = 3);

    let data = bench.data(STANDARD).await;

    assert_eq!(data["__schema"]["queryType"]["name"], "Query");
    assert_eq!(exceeded(&bench, &deep(4)).await, ["depth"]);
}

#[tokio::test]
async fn introspection_has_bounds_of_its_own() {
    let bench = Bench::new();
    let of_type = format!(
        "{{ __schema {{ types {{ {} name {} }} }} }}",
        "ofType {".repeat(20),
        "}".repeat(20)
    );
    let lists =
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";

    assert_eq!(exceeded(&bench, &of_type).await, ["introspection depth"]);
    assert_eq!(
        exceeded(&bench, lists).await,
        ["nested lists of introspection"]
    );
}

#[tokio::test]
async fn introspection_that_is_off_is_forbidden_and_suggests_nothing() {
    let mut bench = Bench::new();
    bench.introspection = false;

    for query in [
        STANDARD,
        "{ ok __schema { queryType { name } } }",
        "{ ...F } fragment F on Query { __type(name: \"Item\") { name } }",
    ] {
        assert_eq!(bench.refused(query).await, ["FORBIDDEN"], "{query}");
    }
    assert_eq!(
        bench.data("{ __typename }").await,
        json!({"__typename": "Query"})
    );
    let answer = bench.ask("{ okk }").await.to_string();
    assert!(!answer.to_lowercase().contains("did you mean"), "{answer}");
}

/// `getIntrospectionQuery()` of graphql-js 16, with all its options on.
const STANDARD: &str = r"
    query IntrospectionQuery {
      __schema {
        description
        queryType { name }
        mutationType { name }
        subscriptionType { name }
        types { ...FullType }
        directives {
          name
          description
          isRepeatable
          locations
          args(includeDeprecated: true) { ...InputValue }
        }
      }
    }
    fragment FullType on __Type {
      kind
      name
      description
      specifiedByURL
      isOneOf
      fields(includeDeprecated: true) {
        name
        description
        args(includeDeprecated: true) { ...InputValue }
        type { ...TypeRef }
        isDeprecated
        deprecationReason
      }
      inputFields(includeDeprecated: true) { ...InputValue }
      interfaces { ...TypeRef }
      enumValues(includeDeprecated: true) {
        name
        description
        isDeprecated
        deprecationReason
      }
      possibleTypes { ...TypeRef }
    }
    fragment InputValue on __InputValue {
      name
      description
      type { ...TypeRef }
      defaultValue
      isDeprecated
      deprecationReason
    }
    fragment TypeRef on __Type {
      kind
      name
      ofType {
        kind
        name
        ofType {
          kind
          name
          ofType {
            kind
            name
            ofType {
              kind
              name
              ofType {
                kind
                name
                ofType {
                  kind
                  name
                  ofType {
                    kind
                    name
                    ofType {
                      kind
                      name
                      ofType { kind name }
                    }
                  }
                }
              }
            }
          }
        }
      }
    }
";

/// Documents of a megabyte that break thousands of rules, or one rule with a name of a megabyte.
fn monsters() -> Vec<String> {
    let name = "N".repeat(1_000_000);
    let numbered = |n: usize, one: &str| several(n, |i| one.replace('#', &i.to_string()));
    vec![
        format!(
            "{}{{x(a:{{{}}})}}",
            "\n".repeat(515_000),
            "b:1 ".repeat(1_650)
        ),
        format!("query {name} ({}) {{ ok }}", numbered(1_200, "$a#: Int")),
        format!("query {name} {{ {} }}", "draw(pen: {}) ".repeat(700)),
        format!("{{ {} }}", numbered(2_000, "nothing#")),
        format!("{{ {name} }}"),
        format!("{{ ok @{name} }}"),
        format!("{{ ok({name}: 1) }}"),
        format!("{{ ...{name} }}"),
        format!("query(${name}: {name}) {{ ok }}"),
        format!("{{ echo(int: \"{name}\") }}"),
        format!("{{ draw(pen: {{{name}: 1}}) }}"),
        format!("{{ {name}: ok {name}: item {{ number }} }}"),
        format!("{{ ...F }} fragment F on {name} {{ ok }}"),
        format!("{{ ok }} fragment {name} on Query {{ ok }}"),
        format!("query {name} {{ ok }} query {name} {{ ok }}"),
        format!("{{ ok }} {}", numbered(600, "fragment F# on Query { ok }")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_short_whatever_the_document() {
    let bench = Bench::new();
    for document in monsters() {
        let start: String = document.trim_start().chars().take(60).collect();

        let answer = bench.ask(&document).await;

        let errors = answer["errors"].as_array().expect("refused");
        assert!(
            (1..=100).contains(&errors.len()),
            "{start}: {}",
            errors.len()
        );
        assert!(answer.to_string().len() < 100_000, "{start}");
        for error in errors {
            let message = error["message"].as_str().expect("a message");
            assert!(message.chars().count() < 500, "{start}: {message}");
        }
    }
}

#[tokio::test]
async fn variables_of_any_size_are_refused_in_few_words() {
    let name = "N".repeat(100_000);
    let echo = "query($colour: Colour, $int: Int) { echo(colour: $colour, int: $int) }";
    let pen = "query($pen: Pen!) { draw(pen: $pen) }";
    for (query, variables) in [
        (echo, json!({ "colour": &name })),
        (echo, json!({ "int": &name })),
        (pen, json!({ "pen": { &name: 1 } })),
        (
            &format!("query(${name}: Int!) {{ echo(int: ${name}) }}"),
            json!({}),
        ),
        ("query A { ok } query B { ok }", json!({})),
    ] {
        let mut request = super::raw(query, variables);
        request.operation_name = query.contains("query A").then(|| name.clone());

        let errors = bench_errors(request).await;

        assert_eq!(errors.len(), 1);
        for language in [Language::En, Language::Ko] {
            assert!(errors[0].message(language).chars().count() < 500);
        }
    }
}

async fn bench_errors(request: super::super::RawRequest) -> Vec<Error> {
    let prepared = Bench::new().engine().prepare(request).await;
    prepared.err().expect("refused")
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_request_is_counted_from_before_its_preparation() {
    let bench = Bench::new().limit(|limits| limits.request_time = Duration::from_secs(2));
    let (engine, query) = (bench.engine(), "{ sleeps }");
    let prepared = engine.prepare(super::raw(query, json!({}))).await;

    tokio::time::advance(Duration::from_secs(3)).await;

    let caller = Caller::new(super::client(Language::En), Actor::Anonymous);
    let prepared = prepared.expect("a good document");
    let answer = super::sent(engine.execute(prepared, caller).await);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "TIMEOUT");
}

/// Two accounts of one address, and one of another, each of which may have so many objects at once.
fn neighbours(bench: &Bench<super::schema::TestSchema>) -> [Account; 3] {
    let budget = Budget::new(&bench.limits);
    [1, 1, 2].map(|host| budget.account(Ipv4Addr::new(192, 0, 2, host).into()))
}

#[tokio::test]
async fn what_an_address_asks_for_beyond_its_limit_waits() {
    let bench = Bench::new().limit(|limits| limits.complexity_address = 10);
    let engine = bench.engine();
    let [one, two, other] = neighbours(&bench);
    let caller = Caller::new(super::client(Language::En), Actor::Anonymous);
    let run = async |account: &Account| {
        let mut request = raw("{ item { child { number } } }", json!({}));
        request.account = account.clone();
        let prepared = engine.prepare(request).await.unwrap();
        engine.execute(prepared, caller.clone()).await
    };

    let turn = one.turn(Turning::Request, 9).await;
    let mut waits = Box::pin(run(&two));
    assert!(waits.as_mut().now_or_never().is_none());
    let is_right = |response: Option<Response>| response.is_some_and(|r| r.errors.is_empty());
    assert!(is_right(run(&other).now_or_never()));
    let _events = one.turn(Turning::Event, 10).await;
    drop(turn);

    assert!(is_right(waits.as_mut().now_or_never()));
    assert!(is_right(run(&one).now_or_never()));
}

#[tokio::test]
async fn events_wait_for_turns_of_their_own() {
    let bench = Bench::new().limit(|limits| limits.complexity_address = 10);
    let engine = bench.engine();
    let [one, two, _] = neighbours(&bench);
    let mut request = raw("subscription { numbers(upto: 3) { number } }", json!({}));
    request.account = two;
    let prepared = engine.prepare(request).await.unwrap();
    let caller = Caller::new(super::client(Language::En), Actor::Anonymous);
    let mut events = engine.stream(prepared, caller);

    let _request = one.turn(Turning::Request, 10).await;
    assert!(events.next().now_or_never().is_some());
    let turn = one.turn(Turning::Event, 10).await;
    assert!(events.next().now_or_never().is_none());
    drop(turn);
    assert!(events.next().now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_is_a_part_of_the_time_of_a_request() {
    let bench = Bench::new();
    let engine = bench.engine();
    let [one, ..] = neighbours(&bench);
    let _turn = one.turn(Turning::Request, u64::MAX).await;
    let mut request = raw("{ ok item { number } }", json!({}));
    request.account = one.clone();
    let prepared = engine.prepare(request).await.unwrap();
    let caller = Caller::new(super::client(Language::En), Actor::Anonymous);

    let response = sent(engine.execute(prepared, caller).await);
    assert_eq!(response["errors"][0]["extensions"]["code"], "TIMEOUT");
}
