//! Documents: in SQLite, and over the wire protocol of MongoDB.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use madang::{
    documents::{Collection, Document, Index, Inserted, LARGEST, Range, Replaced},
    error::Error,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::two_servers;
use crate::support::{Backends, OwnServer, TestApp};

const BY_SEQ: Index = Index::unique("session_seq", &["session", "seq"]);
const BY_KEY: Index = Index::unique("session_key", &["session", "key"]);
const BY_TIME: Index = Index::new("at_id", &["at", "_id"]);

/// Something like a chat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    _id: String,
    session: String,
    seq: i64,
    rev: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    key: Option<String>,
    at: i64,
    text: String,
    parts: BTreeMap<String, Vec<f64>>,
    is_hidden: bool,
}

impl Document for Line {
    const COLLECTION: &'static str = "lines";
    const INDEXES: &'static [Index] = &[BY_SEQ, BY_KEY, BY_TIME];
}

fn line(session: &str, seq: i64) -> Line {
    Line {
        _id: format!("{session}-{seq:06}"),
        session: session.to_owned(),
        seq,
        rev: 1,
        key: None,
        at: 1_000 - seq,
        text: format!("line {seq}"),
        parts: BTreeMap::new(),
        is_hidden: seq % 2 == 0,
    }
}

fn lines(session: &str, seqs: std::ops::Range<i64>) -> Vec<Line> {
    seqs.map(|seq| line(session, seq)).collect()
}

const ALL: fn(usize) -> Inserted = |count| Inserted {
    count,
    duplicate: None,
};

async fn two() -> (Arc<TestApp>, Collection<Line>, Collection<Line>) {
    let app = TestApp::start().await;
    let flags: Vec<_> = app.redis.iter().flat_map(|redis| redis.flags()).collect();
    let (one, other) = two_servers(&app, &flags).await;
    let collections = (
        one.documents.collection().await,
        other.documents.collection().await,
    );
    (app, collections.0.unwrap(), collections.1.unwrap())
}

async fn seqs(lines: &Collection<Line>, range: Range) -> Vec<i64> {
    let found = lines.find(range).await.unwrap();
    found.into_iter().map(|line| line.seq).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_inserted_is_read_as_it_was() {
    let (_app, one, other) = two().await;
    let hostile = Line {
        _id: "a'\"\\$.{}\u{1}".to_owned(),
        session: "세션 👩‍👩‍👧‍👦".to_owned(),
        seq: i64::MAX,
        rev: i64::MIN,
        key: Some("$where".to_owned()),
        at: 9_007_199_254_740_993,
        text: "a\u{0301}\u{0}\r\n\u{10ffff}'; DROP TABLE lines; --".to_owned(),
        parts: BTreeMap::from([("part one".to_owned(), vec![0.1, -0.0, 1e300, 5e-324, 3.0])]),
        is_hidden: true,
    };

    let inserted = one.insert(std::slice::from_ref(&hostile)).await.unwrap();

    assert_eq!(inserted, ALL(1));
    assert_eq!(
        other.get(&hostile._id).await.unwrap().as_ref(),
        Some(&hostile)
    );
    assert_eq!(other.get("nothing").await.unwrap(), None);
    let range = Range::of(BY_SEQ, 10)
        .equal(hostile.session.as_str())
        .equal(i64::MAX);
    assert_eq!(other.find(range).await.unwrap(), [hostile]);
    assert_eq!(one.insert(&[]).await.unwrap(), ALL(0));
    assert_eq!(one.get_many(&[]).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_read_in_the_order_of_the_index_both_ways() {
    let (_app, one, other) = two().await;
    one.insert(&lines("a", 1..21)).await.unwrap();
    one.insert(&lines("b", 1..6)).await.unwrap();
    let of_a = |limit| Range::of(BY_SEQ, limit).equal("a");

    assert_eq!(seqs(&other, of_a(3)).await, [1, 2, 3]);
    assert_eq!(seqs(&other, of_a(3).backwards()).await, [20, 19, 18]);
    assert_eq!(seqs(&other, of_a(3).above(5)).await, [6, 7, 8]);
    assert_eq!(
        seqs(&other, of_a(3).at_least(5).backwards()).await,
        [20, 19, 18]
    );
    assert_eq!(seqs(&other, of_a(3).below(5).backwards()).await, [4, 3, 2]);
    assert_eq!(
        seqs(&other, of_a(99).at_least(18).at_most(20)).await,
        [18, 19, 20]
    );
    assert_eq!(seqs(&other, of_a(99).above(18).below(20)).await, [19]);
    assert_eq!(seqs(&other, of_a(9).equal(7)).await, [7]);
    assert!(
        seqs(&other, Range::of(BY_SEQ, 9).equal("c"))
            .await
            .is_empty()
    );
    assert_eq!(
        seqs(&other, Range::of(BY_TIME, 4).at_most(985)).await,
        [20, 19, 18, 17]
    );
    let ranges = vec![
        of_a(2).above(5),
        Range::of(BY_SEQ, 9).equal("nothing"),
        Range::of(BY_SEQ, 2).equal("b").backwards(),
        of_a(1).backwards(),
    ];
    let each = other.find_each(ranges).await.unwrap().into_iter();
    let each: Vec<Vec<_>> = each
        .map(|lines| lines.into_iter().map(|line| line.seq).collect())
        .collect();
    assert_eq!(each, [vec![6, 7], vec![], vec![5, 4], vec![20]]);
    let many = vec![Range::of(BY_SEQ, 1).equal("b"); 250];
    assert_eq!(other.find_each(many).await.unwrap().concat().len(), 250);
    assert!(other.find_each(Vec::new()).await.unwrap().is_empty());
    let everything = other.find(Range::of(BY_SEQ, 99)).await.unwrap();
    assert_eq!(everything, [lines("a", 1..21), lines("b", 1..6)].concat());
    let mut some = other
        .get_many(&["a-000003".to_owned(), "b-000002".to_owned(), "x".to_owned()])
        .await
        .unwrap();
    some.sort_by_key(|line| line._id.clone());
    assert_eq!(some, [line("a", 3), line("b", 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insertion_stops_at_what_a_unique_index_refuses_and_keeps_what_was_before() {
    let (_app, one, other) = two().await;
    one.insert(&[line("a", 3)]).await.unwrap();
    let refused = |count, index| Inserted {
        count,
        duplicate: Some(index),
    };

    let mut new = lines("a", 1..6);
    new[2]._id = "another".to_owned();
    assert_eq!(other.insert(&new).await.unwrap(), refused(2, "session_seq"));
    assert_eq!(seqs(&one, Range::of(BY_SEQ, 99)).await, [1, 2, 3]);
    let same_id = Line {
        seq: 9,
        ..line("a", 3)
    };
    assert_eq!(one.insert(&[same_id]).await.unwrap(), refused(0, "_id"));
    // Those without the last field of a unique index do not meet in it.
    let keyed = |seq: i64, key: &str| Line {
        key: Some(key.to_owned()),
        ..line("a", seq)
    };
    assert_eq!(
        one.insert(&[keyed(10, "x"), line("a", 11), line("a", 12)])
            .await
            .unwrap(),
        ALL(3)
    );
    assert_eq!(
        other
            .insert(&[keyed(13, "y"), keyed(14, "x"), line("a", 15)])
            .await
            .unwrap(),
        refused(1, "session_key")
    );
    assert_eq!(
        seqs(&one, Range::of(BY_SEQ, 99)).await,
        [1, 2, 3, 10, 11, 12, 13]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_append_at_once_leave_no_gap() {
    let (_app, one, other) = two().await;
    let collections = [Arc::new(one), Arc::new(other)];
    let append = async |writer: usize| {
        let lines = Arc::clone(&collections[writer % 2]);
        for n in 0..10 {
            // At most as often as others were faster.
            for _ in 0..400 {
                let newest = lines
                    .find(Range::of(BY_SEQ, 1).equal("a").backwards())
                    .await
                    .unwrap();
                let seq = newest.first().map_or(1, |line| line.seq + 1);
                let new = Line {
                    _id: format!("{writer}-{n}"),
                    ..line("a", seq)
                };
                if lines.insert(&[new]).await.unwrap() == ALL(1) {
                    break;
                }
            }
        }
    };

    join_all((0..8).map(append)).await;

    assert_eq!(
        seqs(&collections[0], Range::of(BY_SEQ, 99)).await,
        (1..=80).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_replace_what_they_have_read_one_succeeds() {
    let (_app, one, other) = two().await;
    one.insert(&lines("a", 1..3)).await.unwrap();
    let changed = |n: i64| Line {
        rev: 2,
        text: format!("{n}"),
        ..line("a", 1)
    };

    let replacements = (0..16).map(|n| {
        let lines = if n % 2 == 0 { &one } else { &other };
        async move {
            lines
                .replace(&changed(n), &[("rev", 1.into()), ("session", "a".into())])
                .await
                .unwrap()
        }
    });
    let done = join_all(replacements).await;

    let winner = done
        .iter()
        .position(|done| *done == Replaced::Done)
        .unwrap();
    assert_eq!(
        done.iter().filter(|done| **done == Replaced::Unmet).count(),
        15
    );
    assert_eq!(
        one.get("a-000001").await.unwrap(),
        Some(changed(winner as i64))
    );
    let to_two = Line {
        seq: 2,
        ..changed(0)
    };
    assert_eq!(
        one.replace(&to_two, &[]).await.unwrap(),
        Replaced::Duplicate("session_seq")
    );
    assert_eq!(
        one.replace(&line("b", 1), &[]).await.unwrap(),
        Replaced::Unmet
    );
    assert_eq!(
        one.replace(&line("a", 2), &[("is_hidden", false.into())])
            .await
            .unwrap(),
        Replaced::Unmet
    );
    assert_eq!(
        one.replace(&line("a", 2), &[("is_hidden", true.into())])
            .await
            .unwrap(),
        Replaced::Done
    );
    assert_eq!(one.find(Range::of(BY_SEQ, 99)).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_deleted_in_batches() {
    let (_app, one, other) = two().await;
    one.insert(&lines("a", 0..250)).await.unwrap();
    one.insert(&lines("b", 0..3)).await.unwrap();

    let mut batches = Vec::new();
    loop {
        let deleted = other
            .delete(Range::of(BY_SEQ, 100).equal("a").at_least(10))
            .await
            .unwrap();
        if deleted == 0 {
            break;
        }
        batches.push(deleted);
    }

    assert_eq!(batches, [100, 100, 40]);
    let left = one.find(Range::of(BY_SEQ, 999)).await.unwrap();
    assert_eq!(left, [lines("a", 0..10), lines("b", 0..3)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_has_a_size_and_one_that_is_too_large_keeps_all_out() {
    let (_app, one, _) = two().await;
    let of_size = |seq: i64, bytes: usize| Line {
        text: "x".repeat(bytes),
        ..line("a", seq)
    };
    let large = usize::try_from(LARGEST).unwrap();

    let refused = one.insert(&[line("a", 1), of_size(2, large)]).await;

    assert!(
        matches!(refused, Err(Error::TooLarge { limit: LARGEST })),
        "{refused:?}"
    );
    assert!(one.find(Range::of(BY_SEQ, 9)).await.unwrap().is_empty());
    let fits = of_size(3, large - 500);
    assert_eq!(
        one.insert(std::slice::from_ref(&fits)).await.unwrap(),
        ALL(1)
    );
    assert_eq!(one.get(&fits._id).await.unwrap().as_ref(), Some(&fits));
    let replaced = one.replace(&of_size(3, large), &[]).await;
    assert!(matches!(replaced, Err(Error::TooLarge { .. })));
    assert_eq!(one.get(&fits._id).await.unwrap(), Some(fits));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_read_by_their_index() {
    if Backends::of_this_run() == Backends::Engines {
        // SecantusDB explains no plans that tell.
        return;
    }
    let (app, one, _) = two().await;
    one.insert(&lines("a", 0..100)).await.unwrap();
    let file = app.volume.path().join("database/documents.sqlite");
    let conn = rusqlite::Connection::open(file).unwrap();

    for (condition, order, index) in [
        (
            "json_extract(body, '$.session') = ? AND json_extract(body, '$.seq') > ?",
            "json_extract(body, '$.seq') DESC",
            "lines_session_seq",
        ),
        (
            "json_extract(body, '$.at') <= ?",
            "json_extract(body, '$.at') ASC, json_extract(body, '$._id') ASC",
            "lines_at_id",
        ),
    ] {
        let explain = format!(
            "EXPLAIN QUERY PLAN SELECT body FROM lines WHERE {condition} ORDER BY {order} LIMIT ?"
        );
        let mut statement = conn.prepare(&explain).unwrap();
        let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
        let plans = statement
            .query_map(rusqlite::params_from_iter(nulls), |row| {
                row.get::<_, String>(3)
            })
            .unwrap();
        let plan: String = plans.map(Result::unwrap).collect();
        assert!(
            plan.contains(index) && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}

static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
static AT_THE_GATE: AtomicUsize = AtomicUsize::new(0);

/// A document that is not read before the gate opens.
#[derive(Serialize)]
struct Slow {
    _id: String,
}

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Read {
            _id: String,
        }
        AT_THE_GATE.fetch_add(1, Ordering::SeqCst);
        let closed = GATE.0.lock().unwrap();
        let waited = GATE
            .1
            .wait_timeout_while(closed, Duration::from_secs(60), |is_open| !*is_open);
        assert!(!waited.unwrap().1.timed_out(), "the gate stays closed");
        Read::deserialize(deserializer).map(|read| Self { _id: read._id })
    }
}

impl Document for Slow {
    const COLLECTION: &'static str = "slow";
    const INDEXES: &'static [Index] = &[];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_reads_hold_up_neither_the_runtime_nor_the_database_nor_writes() {
    // Of MongoDB, another process reads, and what it sends is decoded as it comes.
    let app = TestApp::on(Backends::Embedded, &[]).await;
    let ann = app.user("ann").await;
    let slow = Arc::new(app.app.documents.collection::<Slow>().await.unwrap());
    slow.insert(&[Slow {
        _id: "a".to_owned(),
    }])
    .await
    .unwrap();

    // Many more than there are threads of the runtime, or readers.
    let reads: Vec<_> = (0..40)
        .map(|_| {
            let slow = Arc::clone(&slow);
            tokio::spawn(async move { slow.get("a").await.unwrap().map(|slow| slow._id) })
        })
        .collect();
    while AT_THE_GATE.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    for n in 0..20 {
        ann.query("{ viewer { name } users { totalCount } }")
            .await
            .data();
        app.app.rights.forget(madang::bus::Heard::Missed);
        slow.insert(&[Slow {
            _id: format!("{n}"),
        }])
        .await
        .unwrap();
    }
    assert!(reads.iter().all(|read| !read.is_finished()));
    *GATE.0.lock().unwrap() = true;
    GATE.1.notify_all();
    for read in reads {
        assert_eq!(read.await.unwrap(), Some("a".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insertion_that_is_cut_off_leaves_a_prefix_and_a_server_that_is_back_is_used_again() {
    if Backends::of_this_run() == Backends::Embedded {
        // One transaction: all or nothing. tests/it/crash.rs kills the same writer.
        return;
    }
    let mut server = OwnServer::documents().await;
    let app = TestApp::with(&["--mongodb-url", &server.url()]).await;
    let documents = Arc::new(app.app.documents.collection::<Line>().await.unwrap());
    let inserting = {
        let documents = Arc::clone(&documents);
        tokio::spawn(async move { documents.insert(&lines("a", 0..60_000)).await })
    };
    while documents
        .find(Range::of(BY_SEQ, 1))
        .await
        .unwrap()
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    server.kill();

    let cut_off = inserting.await.unwrap();
    assert!(
        matches!(cut_off, Err(Error::Unavailable { .. })),
        "{cut_off:?}"
    );
    assert!(matches!(
        documents.get("x").await,
        Err(Error::Unavailable { .. })
    ));
    let backends = app.app.backends().await;
    assert!(
        backends
            .iter()
            .any(|backend| backend.name == "mongodb" && !backend.is_up)
    );
    server.start_again(&[]).await;
    for attempt in 0.. {
        if app.app.documents.ping().await.is_ok() {
            break;
        }
        assert!(attempt < 20, "it does not come back");
    }
    let mut left = Vec::new();
    loop {
        let next = left.last().map_or(-1, |line: &Line| line.seq);
        let page = documents
            .find(Range::of(BY_SEQ, 5_000).equal("a").above(next))
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        left.extend(page);
    }
    assert!(left.len() < 60_000, "it was not cut off");
    assert!(
        left.iter()
            .enumerate()
            .all(|(n, line)| line.seq == n as i64),
        "{}",
        left.len()
    );
}
