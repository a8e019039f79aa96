//! The cache: in this process, and in Redis.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use madang::{cache::Cache, error::Error};

use super::{open, shared, two_servers};
use crate::support::{Backends, OwnServer, TestApp};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// The caches of two servers, and what moves their clock.
async fn two() -> (Arc<TestApp>, Cache, Cache) {
    let app = TestApp::start().await;
    let flags: Vec<_> = app.redis.iter().flat_map(|redis| redis.flags()).collect();
    let (one, other) = two_servers(&app, &flags).await;
    (app, one.cache.clone(), other.cache.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_there_until_it_expires_or_is_replaced() {
    let (app, one, other) = two().await;
    let hostile = "키 \u{0} :*{}\r\nDEL";
    one.put("a", b"1".to_vec(), HOUR).await.unwrap();
    one.put(hostile, vec![0, 255, 13, 10], HOUR).await.unwrap();

    assert_eq!(other.get("a").await.unwrap(), Some(b"1".to_vec()));
    assert_eq!(
        other.get(hostile).await.unwrap(),
        Some(vec![0, 255, 13, 10])
    );
    assert_eq!(other.get("b").await.unwrap(), None);
    other.put("a", b"2".to_vec(), HOUR).await.unwrap();
    assert_eq!(one.get("a").await.unwrap(), Some(b"2".to_vec()));
    app.advance(3_590);
    assert!(one.get("a").await.unwrap().is_some());
    app.advance(10);

    assert_eq!(one.get("a").await.unwrap(), None);
    assert_eq!(one.take("a").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_of_a_set_leaves_it_in_its_own_time() {
    let (app, one, other) = two().await;
    let names = |range: std::ops::Range<usize>| -> Vec<_> {
        range.map(|n| format!("회원 {n:04}")).collect()
    };
    let present = async |cache: &Cache| {
        let mut members = cache.members("set").await.unwrap();
        members.sort();
        members
    };
    assert!(present(&one).await.is_empty());
    one.enrol("set", &names(0..2_500), MINUTE).await.unwrap();
    other
        .enrol("set", &names(2_500..2_510), HOUR)
        .await
        .unwrap();
    other.enrol("other", &names(0..1), HOUR).await.unwrap();
    one.enrol("set", &[], HOUR).await.unwrap();

    assert_eq!(present(&other).await, names(0..2_510));
    app.advance(50);
    other.enrol("set", &names(0..3), MINUTE).await.unwrap();
    one.enrol("set", &names(2_509..2_510), Duration::from_secs(1))
        .await
        .unwrap();
    app.advance(10);
    let expected = [names(0..3), names(2_500..2_509)].concat();
    assert_eq!(present(&one).await, expected);
    app.advance(50);
    assert_eq!(present(&one).await, names(2_500..2_509));
    app.advance(3_600);

    assert!(present(&other).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_take_a_token_at_once_one_gets_it() {
    let (_app, one, other) = two().await;
    for _ in 0..20 {
        one.put("token", b"session".to_vec(), MINUTE).await.unwrap();

        let takes = (0..16).map(|n| {
            if n % 2 == 0 {
                one.take("token")
            } else {
                other.take("token")
            }
        });
        let taken = join_all(takes).await;

        let taken: Vec<_> = taken.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(taken, [b"session".to_vec()]);
        assert_eq!(one.get("token").await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_counts_everybody_within_its_window() {
    let (app, one, other) = two().await;

    let counts = (0..200).map(|n| {
        let cache = if n % 2 == 0 {
            one.clone()
        } else {
            other.clone()
        };
        async move { cache.count("rate", MINUTE).await.unwrap() }
    });
    let mut counts: Vec<_> = join_all(counts).await;
    counts.sort_unstable();

    let numbers: Vec<_> = counts.iter().map(|(count, _)| *count).collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    assert!(
        counts
            .iter()
            .all(|(_, left)| *left <= MINUTE && *left > MINUTE / 2)
    );
    app.advance(30);
    let (count, left) = one.count("rate", MINUTE).await.unwrap();
    // The window began with the first count.
    assert!(count == 201 && left <= MINUTE / 2, "{count} {left:?}");
    app.advance(30);
    assert_eq!(other.count("rate", MINUTE).await.unwrap().0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_goes_to_one_until_it_ends() {
    let (app, one, other) = two().await;

    let claims = (0..50).map(|n| {
        if n % 2 == 0 {
            one.claim("a", HOUR)
        } else {
            other.claim("a", HOUR)
        }
    });
    let won = join_all(claims)
        .await
        .into_iter()
        .filter(|won| *won.as_ref().unwrap());

    assert_eq!(won.count(), 1);
    assert!(one.claim("b", HOUR).await.unwrap());
    app.advance(3_600);
    assert!(other.claim("a", HOUR).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tally_is_taken_once_and_whole() {
    let (_app, one, other) = two().await;
    for (family, member, by) in [("x", "1", 1), ("x", "2", 5), ("x", "1", 2), ("y", "1", 9)] {
        one.tally(family, member, by).await.unwrap();
    }

    let taken = join_all([
        one.take_tally("x"),
        other.take_tally("x"),
        one.take_tally("x"),
    ])
    .await;

    let taken: Vec<_> = taken
        .into_iter()
        .map(Result::unwrap)
        .filter(|t| !t.is_empty())
        .collect();
    assert_eq!(
        taken,
        [HashMap::from([("1".to_owned(), 3), ("2".to_owned(), 5)])]
    );
    assert_eq!(
        one.take_tally("y").await.unwrap(),
        HashMap::from([("1".to_owned(), 9)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_has_one_holder_and_ever_greater_fences() {
    let (app, one, other) = two().await;

    let locks = (0..20).map(|n| {
        if n % 2 == 0 {
            one.lock("a", MINUTE)
        } else {
            other.lock("a", MINUTE)
        }
    });
    let mut held: Vec<_> = join_all(locks)
        .await
        .into_iter()
        .filter_map(Result::unwrap)
        .collect();
    assert_eq!(held.len(), 1);
    let first = held.remove(0);

    // Held on by renewal.
    app.advance(50);
    assert!(one.renew(&first, MINUTE).await.unwrap());
    app.advance(50);
    assert!(other.lock("a", MINUTE).await.unwrap().is_none());
    assert!(other.lock("b", MINUTE).await.unwrap().is_some());
    // Its lease runs out: the next one has a greater fence, and the first holder can neither hold on nor unlock.
    app.advance(60);
    assert!(!one.renew(&first, MINUTE).await.unwrap());
    let second = other.lock("a", MINUTE).await.unwrap().unwrap();
    assert!(second.fence() > first.fence());
    assert!(!one.renew(&first, MINUTE).await.unwrap());
    assert!(!one.unlock(first).await.unwrap());
    assert!(one.lock("a", MINUTE).await.unwrap().is_none());
    let fence = second.fence();
    assert!(other.unlock(second).await.unwrap());
    let third = one.lock("a", MINUTE).await.unwrap().unwrap();
    assert!(third.fence() > fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_neither_rates_nor_tokens_nor_fences() {
    let app = TestApp::start().await;
    let flags: Vec<_> = app.redis.iter().flat_map(|redis| redis.flags()).collect();
    let before = open(&app, &flags).await;
    for _ in 0..3 {
        before.cache.count("rate", HOUR).await.unwrap();
    }
    before
        .cache
        .put("token", vec![0, 1, 255], HOUR)
        .await
        .unwrap();
    before.cache.put("short", vec![1], MINUTE).await.unwrap();
    assert!(before.cache.claim("view", HOUR).await.unwrap());
    let lock = before.cache.lock("lock", MINUTE).await.unwrap().unwrap();
    before.cache.save().await.unwrap();
    drop(before);

    app.advance(90);
    let after = open(&app, &flags).await;
    after.cache.restore().await.unwrap();

    let (count, left) = after.cache.count("rate", HOUR).await.unwrap();
    assert!(count == 4 && left < HOUR - MINUTE, "{count} {left:?}");
    assert!(!after.cache.claim("view", HOUR).await.unwrap());
    assert_eq!(after.cache.take("short").await.unwrap(), None);
    assert_eq!(
        after.cache.take("token").await.unwrap(),
        Some(vec![0, 1, 255])
    );
    let again = after.cache.lock("lock", MINUTE).await.unwrap().unwrap();
    assert!(again.fence() > lock.fence());
    // After a crash, a token that was used does not come back.
    let crashed = open(&app, &flags).await;
    crashed.cache.restore().await.unwrap();
    assert_eq!(crashed.cache.take("token").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_its_operations_are_unavailable_at_once_and_rates_go_on() {
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let mut redis = OwnServer::redis().await;
    let url = redis.url();
    let app = TestApp::with(&["--redis-url", &url, "--rate-limits", "on"]).await;
    app.app.cache.put("a", vec![1], HOUR).await.unwrap();
    let backends = async || -> Vec<_> {
        let backends = app.app.backends().await;
        backends.iter().map(|b| (b.name, b.is_up)).collect()
    };
    assert_eq!(
        backends().await,
        [
            ("database", true),
            ("mongodb", true),
            ("blobs", true),
            ("redis", true)
        ]
    );

    redis.kill();
    while app.app.bus.health().is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    assert!(matches!(
        app.app.cache.get("a").await,
        Err(Error::Unavailable { .. })
    ));
    assert!(matches!(
        app.app.cache.lock("a", HOUR).await,
        Err(Error::Unavailable { .. })
    ));
    assert_eq!(
        backends().await,
        [
            ("database", true),
            ("mongodb", true),
            ("blobs", true),
            ("redis", false)
        ]
    );
    for _ in 0..3 {
        app.app.rate("x", "y", 3, MINUTE).await.unwrap();
    }
    assert!(matches!(
        app.app.rate("x", "y", 3, MINUTE).await,
        Err(Error::RateLimited { .. })
    ));
    redis.start_again(&[]).await;
    for attempt in 0.. {
        if app.app.cache.put("a", vec![2], HOUR).await.is_ok() {
            break;
        }
        assert!(attempt < 400, "it does not come back");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(app.app.cache.get("a").await.unwrap(), Some(vec![2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_with_other_prefixes_are_other_caches() {
    let (one, other) = (TestApp::start().await, TestApp::start().await);
    assert!(shared().is_empty() || shared()[3] != shared()[3]);

    one.app.cache.put("a", vec![1], HOUR).await.unwrap();

    assert_eq!(other.app.cache.get("a").await.unwrap(), None);
}
