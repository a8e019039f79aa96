//! Each event of a subscription is answered as a query is.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{super::Event, Bench, raw, sent};
use crate::{
    access::{Actor, Caller},
    error::Language,
};

async fn events(query: &str) -> Vec<Value> {
    let engine = Bench::new().engine();
    let caller = Caller::new(super::client(Language::En), Actor::Anonymous);
    let prepared = engine.prepare(raw(query, json!({}))).await.expect(query);
    engine.stream(prepared, caller).map(answer).collect().await
}

fn answer(event: Event) -> Value {
    match event {
        Event::Response(response) => sent(response),
        Event::Rendered(bytes) => serde_json::from_slice(&bytes).expect("JSON"),
    }
}

#[tokio::test]
async fn errors_and_withheld_fields_belong_to_their_event() {
    let events = events("subscription { n: numbers(upto: 3) { ...F number } } fragment F on Item { even number secret }").await;

    let withheld = json!({"withheld": ["Item.secret"]});
    assert_eq!(events.len(), 3);
    assert_eq!(
        events[0],
        json!({"data": {"n": {"even": 0, "number": 0, "secret": null}}, "extensions": withheld})
    );
    assert_eq!(
        events[1]["data"],
        json!({"n": {"even": null, "number": 1, "secret": null}})
    );
    assert_eq!(events[1]["errors"][0]["path"], json!(["n", "even"]));
    assert_eq!(events[1]["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(events[2]["errors"], Value::Null);
}

#[tokio::test]
async fn what_cannot_start_is_one_answer_with_its_error() {
    for (query, code) in [
        (
            "subscription { numbers(upto: -1) { number } }",
            "RESYNC_REQUIRED",
        ),
        ("subscription { guarded }", "UNAUTHENTICATED"),
    ] {
        let events = events(query).await;

        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["data"], Value::Null);
        assert_eq!(events[0]["errors"][0]["extensions"]["code"], code);
    }
}

#[tokio::test]
async fn a_caller_who_may_not_subscribe_learns_so_before_anything_runs() {
    let bench = Bench::new();
    let engine = bench.engine();
    let caller = Caller::new(super::client(Language::En), Actor::Anonymous);
    let query = "subscription { mine: forUsers }";
    let prepared = engine.prepare(raw(query, json!({}))).await.expect(query);

    let events: Vec<_> = engine.stream(prepared, caller).map(answer).collect().await;

    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["data"], Value::Null);
    let error = &events[0]["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAUTHENTICATED");
    assert_eq!(error["path"], json!(["mine"]));
    assert_eq!(error["locations"], json!([{"line": 1, "column": 16}]));
    assert!(bench.journal.lock().is_empty());
}

#[tokio::test]
async fn a_guarded_field_of_an_event_is_withheld() {
    let events = events("subscription { numbers(upto: 2) { number forAdmins } }").await;

    for (number, event) in events.iter().enumerate() {
        let item = json!({"number": number, "forAdmins": null});
        assert_eq!(event["data"], json!({"numbers": item}));
        let withheld = json!({"withheld": ["Item.forAdmins"]});
        assert_eq!(event["extensions"], withheld);
    }
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn an_event_that_fails_is_null_where_it_may_be() {
    let events = events("subscription { maybe { number } }").await;

    assert_eq!(events[0], json!({"data": {"maybe": {"number": 0}}}));
    assert_eq!(events[1]["errors"][0]["extensions"]["code"], "NOT_FOUND");
    assert_eq!(events[1]["errors"][0]["path"], json!(["maybe"]));
}

#[tokio::test]
async fn a_panic_ends_the_subscription_and_tells_nothing() {
    let events = events("subscription { panics }").await;

    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["errors"][0]["extensions"]["code"], "INTERNAL");
    assert!(!events[1].to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_query_is_a_stream_of_one_answer() {
    let events = events("{ ok fails }").await;

    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["data"], json!({"ok": 1, "fails": null}));
}

#[tokio::test]
async fn a_subscription_is_not_executed_as_a_query() {
    let answer = Bench::new().ask("subscription { maybe { number } }").await;

    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}
