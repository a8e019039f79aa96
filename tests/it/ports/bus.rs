//! The bus: in this process, and through Redis.

use std::time::Duration;

use madang::bus::{BACKLOG, Bus, Heard, Listener, News, Topic};
use uuid::Uuid;

use super::{shared, two_servers};
use crate::support::{Backends, OwnServer, TestApp};

const RIGHTS: Topic<Uuid> = Topic::only("rights");
const BOARDS: Topic<Uuid> = Topic::only("boards");

fn about(number: usize) -> Uuid {
    Uuid::from_u128(number as u128)
}

fn news(topic: Topic<Uuid>, number: usize) -> Heard<Uuid> {
    Heard::News(News {
        topic,
        about: about(number),
        number: 0,
    })
}

/// The next message, which comes in time.
async fn next(listener: &mut Listener<Uuid>) -> Heard<Uuid> {
    tokio::time::timeout(Duration::from_secs(10), listener.next())
        .await
        .expect("a message in time")
}

/// All that `listener` hears until nothing comes any more.
async fn heard(listener: &mut Listener<Uuid>) -> Vec<Heard<Uuid>> {
    let mut all = Vec::new();
    while let Ok(heard) = tokio::time::timeout(Duration::from_millis(300), listener.next()).await {
        all.push(heard);
    }
    all
}

/// The buses of two servers, whose own topics are counted in.
async fn two() -> (std::sync::Arc<TestApp>, Bus, Bus) {
    let app = TestApp::start().await;
    let (one, other) = two_servers(&app, &shared()).await;
    (app, one.bus.clone(), other.bus.clone())
}

async fn eventually(what: impl Fn() -> bool) {
    for _ in 0..400 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it does not happen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_its_topics_in_order_from_when_it_began() {
    let (_app, one, other) = two().await;
    let _earlier = one.listen(&[RIGHTS]).await.unwrap();
    other.publish(&RIGHTS, about(1));
    let mut listener = one.listen(&[RIGHTS]).await.unwrap();
    let mut of_both = other.listen(&[RIGHTS, BOARDS]).await.unwrap();
    heard(&mut listener).await;
    heard(&mut of_both).await;

    other.publish(&BOARDS, about(2));
    for n in 3..200 {
        other.publish(&RIGHTS, about(n));
    }

    for n in 3..200 {
        assert_eq!(next(&mut listener).await, news(RIGHTS, n));
    }
    let all = heard(&mut of_both).await;
    assert_eq!(all.len(), 198);
    assert!(all.contains(&news(BOARDS, 2)));
    assert_eq!(heard(&mut listener).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_carries_its_topic_and_a_number() {
    let (app, one, other) = two().await;
    let chat = app.clock.id::<madang::ids::PostKind>();
    let topic = Topic::of("chat", chat);
    let mut listener = one.listen(&[topic]).await.unwrap();

    other.publish_numbered(&topic, chat, u64::MAX - 1);

    let expected = News {
        topic,
        about: chat,
        number: u64::MAX - 1,
    };
    assert_eq!(listener.next().await, Heard::News(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_after_listen_has_returned_is_heard() {
    let (_app, one, other) = two().await;

    for n in 0..200 {
        let topic = Topic::of("post", madang::ids::PostId::from_uuid(about(n + 1)));
        let mut listener = one.listen(&[topic]).await.unwrap();
        other.publish(&topic, madang::ids::PostId::from_uuid(about(7)));
        let heard = tokio::time::timeout(Duration::from_secs(10), listener.next()).await;
        assert!(matches!(heard, Ok(Heard::News(_))), "{n}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_begin_and_end_at_once_lose_nothing() {
    let (_app, one, other) = two().await;
    let rounds = (0..16).map(|task| {
        let (one, other) = (one.clone(), other.clone());
        async move {
            for n in 0..50 {
                // All tasks share two topics, which begin and end all the time.
                let topic = if n % 2 == 0 { RIGHTS } else { BOARDS };
                let mut listener = one.listen(&[topic]).await.unwrap();
                other.publish(&topic, about(task * 1_000 + n));
                while next(&mut listener).await != news(topic, task * 1_000 + n) {}
            }
        }
    });

    futures_util::future::join_all(rounds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_listener_is_told_so_and_costs_no_other_a_message() {
    let (_app, one, other) = two().await;
    let mut stalled = one.listen(&[RIGHTS]).await.unwrap();
    let mut healthy = one.listen(&[RIGHTS]).await.unwrap();

    for n in 0..=BACKLOG {
        other.publish(&RIGHTS, about(n));
        assert_eq!(next(&mut healthy).await, news(RIGHTS, n));
    }

    assert_eq!(one.kept(), BACKLOG);
    assert_eq!(heard(&mut stalled).await, [Heard::Missed]);
    assert_eq!(one.kept(), 0);
    other.publish(&RIGHTS, about(7));
    for listener in [&mut stalled, &mut healthy] {
        assert_eq!(heard(listener).await, [news(RIGHTS, 7)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_ends_with_its_last_listener_and_a_message_with_the_last_that_hears_it() {
    let (_app, one, other) = two().await;
    let before = one.topics();
    for n in 0..300 {
        let topic: Topic<Uuid> = Topic::of("post", madang::ids::PostId::from_uuid(about(n)));
        drop(one.listen(&[topic]).await.unwrap());
    }
    assert_eq!(one.topics(), before);

    let mut first = one.listen(&[BOARDS]).await.unwrap();
    let second = one.listen(&[BOARDS]).await.unwrap();
    (0..5).for_each(|n| other.publish(&BOARDS, about(n)));
    assert_eq!(next(&mut first).await, news(BOARDS, 0));
    eventually(|| one.kept() == 5).await;
    let late = one.listen(&[BOARDS]).await.unwrap();
    other.publish(&BOARDS, about(5));
    eventually(|| one.kept() == 6).await;
    drop(second);
    assert_eq!(one.kept(), 5);
    assert_eq!(heard(&mut first).await.len(), 5);
    assert_eq!(one.kept(), 1);

    drop((first, late));

    assert_eq!((one.topics(), one.kept()), (before, 0));
    // Nobody listens, so nothing is kept.
    other.publish(&BOARDS, about(6));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((one.topics(), one.kept()), (before, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_between_a_look_and_a_wait() {
    let (_app, one, other) = two().await;
    let mut listening = Vec::new();
    for _ in 0..8 {
        let mut listener = one.listen(&[BOARDS]).await.unwrap();
        listening.push(tokio::spawn(async move {
            for n in 0..2_000 {
                assert_eq!(next(&mut listener).await, news(BOARDS, n));
            }
        }));
    }

    for n in 0..2_000 {
        other.publish(&BOARDS, about(n));
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }

    for listener in listening {
        listener.await.expect("no panic");
    }
    eventually(|| one.kept() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_leaves_redis_with_its_last_listener() {
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let (app, flags) = (TestApp::start().await, shared());
    let (one, other) = two_servers(&app, &flags).await;
    let count = async || -> usize {
        use fred::interfaces::{ClientLike, PubsubInterface};
        let config = fred::types::config::Config::from_url(&flags[1]).unwrap();
        let client = fred::types::Builder::from_config(config).build().unwrap();
        client.init().await.unwrap();
        let pattern = format!("{}:bus:post:*", flags[3]);
        let channels: Vec<String> = client.pubsub_channels(pattern).await.unwrap();
        channels.len()
    };
    let topics: Vec<_> = (0..100)
        .map(|n| Topic::<Uuid>::of("post", madang::ids::PostId::from_uuid(about(n))))
        .collect();
    let (of_one, of_other) = (
        one.bus.listen(&topics).await.unwrap(),
        other.bus.listen(&topics[..1]).await,
    );
    assert_eq!(count().await, 100);

    drop(of_one);
    for _ in 0..200 {
        if count().await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }

    assert_eq!(count().await, 1);
    drop(of_other);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_redis_goes_away_nothing_fails_and_when_it_is_back_listeners_hear_that_they_missed_something()
 {
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let mut redis = OwnServer::redis().await;
    let url = redis.url();
    let app = TestApp::start().await;
    let flags = ["--redis-url", &url].map(str::to_owned);
    let (one, other) = two_servers(&app, &flags).await;
    let (one, other) = (one.bus.clone(), other.bus.clone());
    let mut near = one.listen(&[RIGHTS]).await.unwrap();
    let mut far = other.listen(&[RIGHTS]).await.unwrap();
    one.publish(&RIGHTS, about(1));
    assert_eq!(next(&mut near).await, news(RIGHTS, 1));
    assert_eq!(next(&mut far).await, news(RIGHTS, 1));

    redis.kill();
    eventually(|| one.health().is_err() && other.health().is_err()).await;
    one.publish(&RIGHTS, about(2));

    // On its own server a message arrives all the same.
    assert_eq!(next(&mut near).await, news(RIGHTS, 2));
    // Nobody who begins to listen is told that all is well.
    assert!(other.listen(&[BOARDS]).await.is_err());
    assert!(other.listen(&[RIGHTS]).await.is_err());
    redis.start_again(&[]).await;
    eventually(|| one.health().is_ok() && other.health().is_ok()).await;
    for listener in [&mut near, &mut far] {
        assert_eq!(next(listener).await, Heard::Missed);
    }
    heard(&mut near).await;
    heard(&mut far).await;
    one.publish(&RIGHTS, about(3));
    for listener in [&mut near, &mut far] {
        assert_eq!(next(listener).await, news(RIGHTS, 3));
    }
}
