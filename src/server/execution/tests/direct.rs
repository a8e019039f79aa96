//! What is resolved directly is answered as the library answers it.

use serde_json::Value;

use super::Bench;

/// The answers to `selection` on the same items, resolved by the library and directly.
async fn both(selection: &str) -> [Value; 2] {
    let ask = async |shelf: &str| {
        let mut answer = Bench::new()
            .limit(|limits| limits.complexity = 100_000)
            .ask(&format!("{{ shelf: {shelf} {{ {selection} }} }}"))
            .await;
        if let Some(errors) = answer["errors"].as_array_mut() {
            // Siblings may fail in any order.
            errors.sort_by_key(|error| error["path"].to_string());
        }
        answer
    };
    [ask("plain").await, ask("quick").await]
}

#[tokio::test]
async fn fields_lists_and_names_are_the_same() {
    for selection in [
        "items { number child { number } items { number } }",
        "item { __typename n: number number later } items { later __typename later2: later }",
        "items { later number } item { later } strictly { number }",
        "item { ... { number } } items { ... on Item { number } child { number } }",
        "items { number @skip(if: true) later } item { number @include(if: true) }",
        "items { __typename } items { number } item { number } item { later }",
    ] {
        let [plain, quick] = both(selection).await;

        assert_eq!(plain["errors"], Value::Null, "{selection}");
        assert_eq!(plain, quick, "{selection}");
    }
}

#[tokio::test]
async fn failures_are_the_same() {
    for selection in [
        "items { number even }",
        "items { number strictlyEven } item { number }",
        "item { strictlyEven even } strictly { even }",
        "strictly { strictlyEven } item { number }",
        "items { later guarded } item { guarded secret }",
        "items { secret withheld number }",
        "items { explodes later }",
        "items { child { strictlyEven } items { even later } }",
        "items { ... { even } } item { child { e: even } }",
    ] {
        let [plain, quick] = both(selection).await;

        let failed = plain["errors"].is_array() || plain["extensions"].is_object();
        assert!(failed, "{selection}: {plain}");
        assert_eq!(plain, quick, "{selection}");
    }
}

#[tokio::test]
async fn items_that_wait_do_so_side_by_side() {
    tokio::time::pause();
    let began = tokio::time::Instant::now();

    let [plain, quick] = both("items { number slow }").await;

    assert_eq!(plain, quick);
    let each = std::time::Duration::from_secs(1);
    assert!(began.elapsed() < each * 3, "{:?}", began.elapsed());
}
