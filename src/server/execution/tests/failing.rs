//! Failures end at the nearest nullable place, and are told once.

use serde_json::{Value, json};

use super::{Bench, Until};
use crate::error::Language;

/// Paths and codes of the errors of an answer.
fn told(answer: &Value) -> Vec<(Value, &str)> {
    let errors = answer["errors"].as_array().map_or(&[][..], Vec::as_slice);
    errors
        .iter()
        .map(|error| {
            let code = error["extensions"]["code"].as_str().expect("a code");
            (error["path"].clone(), code)
        })
        .collect()
}

#[tokio::test]
async fn a_failing_root_field_leaves_the_one_beside_it() {
    let answer = Bench::new().ask("{ fails ok guarded }").await;

    assert_eq!(
        answer["data"],
        json!({"fails": null, "ok": 1, "guarded": null})
    );
    assert_eq!(
        told(&answer),
        [
            (json!(["fails"]), "INVALID"),
            (json!(["guarded"]), "UNAUTHENTICATED")
        ]
    );
    assert_eq!(
        answer["errors"][0]["locations"],
        json!([{"line": 1, "column": 3}])
    );
    assert_eq!(
        answer["errors"][0]["extensions"]["violations"],
        json!([{"field": "title", "code": "TOO_LONG", "message": "At most 3 characters."}])
    );
}

#[tokio::test]
async fn a_guard_on_a_nullable_field_takes_nothing_else() {
    let answer = Bench::new().ask("{ item { number guarded } }").await;

    assert_eq!(
        answer["data"],
        json!({"item": {"number": 1, "guarded": null}})
    );
    assert_eq!(told(&answer), [(json!(["item", "guarded"]), "FORBIDDEN")]);
}

#[tokio::test]
async fn a_withheld_field_is_null_without_an_error_and_named_once() {
    let query = "{ items { secret w: withheld } item { secret } numbered { secret } }";

    let answer = Bench::new().ask(query).await;

    assert_eq!(answer["errors"], Value::Null);
    assert_eq!(
        answer["data"]["items"][2],
        json!({"secret": null, "w": null})
    );
    assert_eq!(answer["data"]["numbered"], json!({"secret": null}));
    assert_eq!(
        answer["extensions"],
        json!({"withheld": ["Item.secret", "Item.withheld"]})
    );
}

#[tokio::test]
async fn a_root_field_is_refused_by_what_the_schema_says_before_it_runs() {
    let bench = Bench::new();

    let asked = bench.ask("{ ok u: forUsers }").await;
    let done = bench.ask("mutation { forAdmins ok { number } }").await;

    assert_eq!(asked["data"], json!({"ok": 1, "u": null}));
    assert_eq!(told(&asked), [(json!(["u"]), "UNAUTHENTICATED")]);
    assert_eq!(
        done["data"],
        json!({"forAdmins": null, "ok": {"number": 2}})
    );
    assert_eq!(told(&done), [(json!(["forAdmins"]), "UNAUTHENTICATED")]);
    assert_eq!(*bench.journal.lock(), ["ok"]);
}

#[tokio::test]
async fn a_guarded_field_is_withheld_by_what_the_schema_says_whoever_resolves_its_object() {
    for shelf in ["plain", "quick"] {
        let query = format!("{{ {shelf} {{ items {{ number a: forAdmins even b: number }} }} }}");

        let answer = Bench::new().ask(&query).await;

        let item = |n: i32| json!({"number": n, "a": null, "even": (n != 1).then_some(n), "b": n});
        let items = json!([item(0), item(1), item(2)]);
        assert_eq!(answer["data"][shelf]["items"], items);
        assert_eq!(
            told(&answer),
            [(json!([shelf, "items", 1, "even"]), "NOT_FOUND")]
        );
        assert_eq!(
            answer["extensions"],
            json!({"withheld": ["Item.forAdmins"]})
        );
    }
}

#[tokio::test]
async fn a_field_for_its_owner_shows_nothing_when_nobody_asks_who_that_is() {
    for shelf in ["plain", "quick"] {
        let query = format!("{{ {shelf} {{ item {{ forItsOwner number }} }} }}");

        let answer = Bench::new().ask(&query).await;

        let item = json!({"forItsOwner": null, "number": 2});
        assert_eq!(answer["data"][shelf]["item"], item);
        let path = json!([shelf, "item", "forItsOwner"]);
        assert_eq!(told(&answer), [(path, "INTERNAL")]);
    }
}

#[tokio::test]
async fn the_path_of_a_failing_item_goes_down_to_the_field_behind_the_index() {
    let answer = Bench::new().ask("{ items { e: even number } }").await;

    assert_eq!(answer["data"]["items"][1], json!({"e": null, "number": 1}));
    assert_eq!(told(&answer), [(json!(["items", 1, "e"]), "NOT_FOUND")]);
    assert_eq!(
        answer["errors"][0]["locations"],
        json!([{"line": 1, "column": 11}])
    );
}

#[tokio::test]
async fn a_non_null_failure_makes_the_nearest_nullable_place_null() {
    let bench = Bench::new();
    for (query, data, path) in [
        (
            "{ ok maybeItems { strictlyEven } }",
            json!({"ok": 1, "maybeItems": [{"strictlyEven": 0}, null, {"strictlyEven": 2}]}),
            json!(["maybeItems", 1, "strictlyEven"]),
        ),
        (
            "{ ok maybeList { strictlyEven } }",
            json!({"ok": 1, "maybeList": null}),
            json!(["maybeList", 1, "strictlyEven"]),
        ),
        (
            "{ ok item { n: number child { items { strictlyEven } } } }",
            json!({"ok": 1, "item": {"n": 1, "child": null}}),
            json!(["item", "child", "items", 1, "strictlyEven"]),
        ),
        (
            "{ nested { strictlyEven } }",
            json!({"nested": [null, null]}),
            json!(["nested", 0, 1, "strictlyEven"]),
        ),
        (
            "{ ok strictlyFails }",
            Value::Null,
            json!(["strictlyFails"]),
        ),
        (
            "{ ok items { strictlyEven } }",
            Value::Null,
            json!(["items", 1, "strictlyEven"]),
        ),
    ] {
        let answer = bench.ask(query).await;

        assert_eq!(answer["data"], data, "{query}");
        assert_eq!(told(&answer), [(path, "NOT_FOUND")], "{query}");
    }
}

#[tokio::test]
async fn three_mutations_run_in_order_though_the_middle_one_fails() {
    let bench = Bench::new();
    let query = r#"mutation { a: note(name: "a") b: note(name: "bad") c: note(name: "c") }"#;

    let answer = bench.ask(query).await;

    assert_eq!(answer["data"], json!({"a": "a", "b": null, "c": "c"}));
    assert_eq!(told(&answer), [(json!(["b"]), "CONFLICT")]);
    assert_eq!(*bench.journal.lock(), ["a", "bad", "c"]);
}

#[tokio::test]
async fn rights_are_read_again_before_each_mutation_and_never_for_a_query() {
    let mut bench = Bench::new();
    bench.rights = std::sync::Arc::new(Until(Some(1), 0.into()));
    let query = r#"mutation { a: note(name: "a") b: note(name: "b") ok { child { number } } }"#;

    let answer = bench.ask(query).await;

    assert_eq!(answer["data"], json!({"a": "a", "b": null, "ok": null}));
    assert_eq!(
        told(&answer),
        [
            (json!(["b"]), "TOKEN_INVALID"),
            (json!(["ok"]), "TOKEN_INVALID")
        ]
    );
    assert_eq!(*bench.journal.lock(), ["a"]);
    assert_eq!(bench.data("{ ok }").await, json!({"ok": 1}));
    assert_eq!(bench.rights.1.load(std::sync::atomic::Ordering::SeqCst), 3);
}

#[tokio::test]
async fn faults_of_ours_tell_nothing() {
    for field in ["broken", "foreign", "panics"] {
        let answer = Bench::new().ask(&format!("{{ ok {field} }}")).await;

        assert_eq!(told(&answer), [(json!([field]), "INTERNAL")]);
        assert_eq!(answer["data"]["ok"], 1, "{field}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
}

#[tokio::test]
async fn an_argument_that_only_its_scalar_can_judge_is_an_error_of_its_field() {
    let bench = Bench::new();
    for value in ["3", "\"text\""] {
        let answer = bench.ask(&format!("{{ ok half(of: {value}) }}")).await;

        assert_eq!(answer["data"], json!({"ok": 1, "half": null}));
        assert_eq!(told(&answer), [(json!(["half"]), "BAD_REQUEST")]);
    }
}

#[tokio::test]
async fn null_for_a_non_null_field_is_a_fault_of_ours() {
    let answer = Bench::new().ask("{ notANumber }").await;

    assert_eq!(answer["data"], Value::Null);
    assert_eq!(told(&answer), [(json!(["notANumber"]), "INTERNAL")]);
}

#[tokio::test]
async fn messages_are_in_the_language_of_the_caller() {
    let mut bench = Bench::new();
    bench.language = Language::Ko;

    let failed = bench.ask("{ fails }").await;
    let refused = bench
        .limit(|limits| limits.aliases = 0)
        .ask("{ a: ok }")
        .await;

    assert_eq!(
        failed["errors"][0]["message"],
        "올바르지 않은 값이 있습니다."
    );
    assert!(
        refused["errors"][0]["message"]
            .to_string()
            .contains("허용된")
    );
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_stopped() {
    let answer = Bench::new().ask("{ ok sleeps }").await;

    assert_eq!(answer["data"], Value::Null);
    assert_eq!(told(&answer), [(Value::Null, "TIMEOUT")]);
}

#[tokio::test]
async fn a_failure_of_one_request_is_not_told_to_the_next() {
    let bench = Bench::new();
    let engine = bench.engine();
    let caller = || super::Caller::new(super::client(Language::En), super::Actor::Anonymous);
    for _ in 0..3 {
        let prepared = engine.prepare(super::raw("{ fails }", json!({}))).await;
        let answer = engine.execute(prepared.expect("valid"), caller()).await;

        assert_eq!(answer.errors.len(), 1);
    }
}
