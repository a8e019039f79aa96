//! Overlapping selections run once, and answer without holes.

use serde_json::json;

use super::Bench;

#[tokio::test]
async fn a_mutation_that_is_selected_twice_runs_once() {
    let bench = Bench::new();
    let query = "mutation { ok { number } ok { number } ...F ... { ok { child { number } } } }
        fragment F on Mutation { ok { n: number } }";

    let data = bench.data(query).await;

    assert_eq!(
        data,
        json!({"ok": {"number": 2, "n": 2, "child": {"number": 3}}})
    );
    assert_eq!(*bench.journal.lock(), ["ok"]);
}

#[tokio::test]
async fn every_overlap_of_fragments_is_one_answer_in_the_order_of_first_mention() {
    let bench = Bench::zoo();
    for (query, text) in [
        // Inline, without and with a type condition.
        (
            "{ dog { id ... { size } ... on Dog { barks id } size } }",
            r#"{"dog":{"id":6,"size":6,"barks":106}}"#,
        ),
        // Named, nested, spread twice.
        (
            "{ dog { ...A ...B ...A } } fragment A on Dog { twin { id } ...B } fragment B on Being { friend { id } size }",
            r#"{"dog":{"twin":{"id":9},"friend":{"id":22},"size":6}}"#,
        ),
        // Deeply, each with another part.
        (
            "{ dog { twin { id } ...A } dog { twin { twin { barks } } } } fragment A on Dog { twin { size twin { id } } }",
            r#"{"dog":{"twin":{"id":9,"size":9,"twin":{"id":12,"barks":112}}}}"#,
        ),
        // On an interface, of one's own type, of another, of an interface that the object has.
        (
            "{ being(id: 1) { id ... on Cat { meows friend { id } } ... on Dog { barks } ... on Pet { p: id } friend { ... on Cat { size } } } }",
            r#"{"being":{"id":1,"meows":101,"friend":{"id":10,"size":10},"p":1}}"#,
        ),
        // The order is that of the object's own fields.
        (
            "{ beings { ... on Cat { meows } id ... on Dog { barks } } }",
            r#"{"beings":[{"id":0,"barks":100},{"meows":101,"id":1},{"id":2},{"id":3,"barks":103}]}"#,
        ),
        // On a union.
        (
            "{ thing(id: 2) { __typename ... on Being { id } ... on Person { speaks id } ...F } } fragment F on Thing { ... on Person { s: speaks } }",
            r#"{"thing":{"__typename":"Person","id":2,"speaks":102,"s":102}}"#,
        ),
        // With aliases that are the names of other fields.
        (
            "{ dog { id: size(unit: 2) size: id } dog { size: id } }",
            r#"{"dog":{"id":12,"size":6}}"#,
        ),
        // The same key on types that exclude each other.
        (
            "{ beings { ... on Dog { own: barks } ... on Cat { own: meows } } }",
            r#"{"beings":[{"own":100},{"own":101},{},{"own":103}]}"#,
        ),
        // An interface within an interface.
        (
            "{ pet { id ... on Being { friends { id } } ... on Dog { friends { ... on Cat { meows } } } } }",
            r#"{"pet":{"id":3,"friends":[{"id":4,"meows":104},{"id":17}]}}"#,
        ),
    ] {
        assert_eq!(bench.text(query).await, text, "{query}");
    }
}

#[tokio::test]
async fn skip_and_include_decide_before_anything_merges() {
    let bench = Bench::zoo();
    let query = "query($on: Boolean!, $off: Boolean = false) {
        dog @include(if: $on) { id }
        dog @skip(if: $on) { size }
        ...F @include(if: $off)
        ... @skip(if: $off) { d: dog { barks @include(if: false) id @skip(if: false) } }
        e: dog { id @skip(if: $on) }
    }
    fragment F on Query { f: dog { id @include(if: $on) size } }";
    for (variables, data) in [
        (
            json!({"on": true}),
            json!({"dog": {"id": 6}, "d": {"id": 6}, "e": {}}),
        ),
        (
            json!({"on": false}),
            json!({"dog": {"size": 6}, "d": {"id": 6}, "e": {"id": 6}}),
        ),
        (
            json!({"on": true, "off": true}),
            json!({"dog": {"id": 6}, "f": {"id": 6, "size": 6}, "e": {}}),
        ),
        (
            json!({"on": false, "off": true}),
            json!({"dog": {"size": 6}, "f": {"size": 6}, "e": {"id": 6}}),
        ),
    ] {
        let answer = bench.ask_with(query, variables.clone()).await;
        assert_eq!(answer, json!({"data": data}), "{variables}");
    }
    let null = json!({"on": true, "off": null});
    assert_eq!(bench.refused_with(query, null).await, ["BAD_REQUEST"]);
}

#[tokio::test]
async fn one_engine_tells_the_decisions_of_its_cached_document_apart() {
    let engine = Bench::zoo().engine();
    let query = "query($on: Boolean!) { dog { id @include(if: $on) size } }";
    for on in [true, false, true, false] {
        let request = super::raw(query, json!({"on": on}));
        let prepared = engine.prepare(request).await.expect("valid");
        let client = super::client(crate::error::Language::En);
        let caller = super::Caller::new(client, super::Actor::Anonymous);

        let data = engine.execute(prepared, caller).await.data;

        let text = if on {
            "{dog: {id: 6, size: 6}}"
        } else {
            "{dog: {size: 6}}"
        };
        assert_eq!(data.to_string(), text);
    }
}

#[tokio::test]
async fn root_fields_are_named_without_aliases_after_skip_and_include() {
    let query =
        "query($no: Boolean!) { a: dog { id } ...F beings @include(if: $no) { id } __typename }
        fragment F on Query { b: dog { id } a: dog { size } pet @skip(if: $no) { id } }";

    let prepared = Bench::zoo().prepare(query, json!({"no": false})).await;

    let names = prepared.expect("valid").root_fields;
    assert_eq!(names, ["dog", "dog", "pet", "__typename"]);
}

#[tokio::test]
async fn fields_that_cannot_merge_are_refused() {
    let bench = Bench::zoo();
    for query in [
        "{ being(id: 1) { id } being(id: 2) { id } }",
        "{ dog { a: id a: size } }",
        "{ dog { size(unit: 1) ...F } } fragment F on Dog { size(unit: 2) }",
        "{ dog { size ...F } } fragment F on Being { size(unit: 2) }",
        "query($a: Int, $b: Int) { dog { size(unit: $a) ... on Dog { size(unit: $b) } } }",
        "query($a: Boolean!) { dog { x: id @include(if: $a) x: size @skip(if: $a) } }",
        "{ dog { twin { a: id } ...F } } fragment F on Dog { twin { a: size } }",
        // Different shapes on types that exclude each other.
        "{ beings { ... on Dog { x: id } ... on Cat { x: friends { id } } } }",
        "{ beings { ... on Dog { x: twin { y: id } } ... on Cat { x: twin { y: __typename } } } }",
        "{ beings { ... on Dog { x: friend { id } } ... on Cat { x: twin { id } } } }",
    ] {
        let refused = bench.refused(query).await;
        assert_eq!(refused, ["GRAPHQL_VALIDATION_FAILED"], "{query}");
    }
    // Not in conflict: the same in another order, other spelling, types that exclude each other.
    for query in [
        "{ being(id: 1) { id } being(id: 1) { size } }".to_owned(),
        "{ beings { ... on Dog { x: size(unit: 1) } ... on Cat { x: size(unit: 2) } } }".to_owned(),
        "{ beings { ... on Dog { x: twin { id } } ... on Cat { x: twin { size } } } }".to_owned(),
    ] {
        assert!(bench.refused(&query).await.is_empty(), "{query}");
    }
}
