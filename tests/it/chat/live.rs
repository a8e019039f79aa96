//! What subscribers of a chat session get.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, Stream, StreamExt, stream::BoxStream};
use madang::{
    app::App,
    chat::{
        Rev,
        events::{Event, What},
        live::{self, Delivery, Wish},
        store::{
            log::{Change, Entry, Log},
            presence,
        },
    },
    error::{Error, Language, Result},
    fanout::{Given, Key, Shape},
    ids::{ChatId, ChatSessionId, UserId},
};
use serde_json::json;

use super::{Yard, delete, edit, say, send, yard};
use crate::{ports::two_servers, support::Client};

type Events = BoxStream<'static, Result<Event>>;

async fn follow_on(
    app: &App,
    client: &Client,
    session: &str,
    after: Option<i64>,
    presence: bool,
) -> Result<Events> {
    let wish = Wish {
        session: ChatSessionId::parse(session).unwrap(),
        after: after.map(Rev),
        presence,
    };
    let deliveries = live::subscribe(app.clone(), client.caller().await, wish, None).await?;
    let events = deliveries
        .filter_map(async |delivery| delivery.map(live::Delivery::into_event).transpose());
    Ok(events.boxed())
}

async fn follow(yard: &Yard, client: &Client, after: Option<i64>) -> Result<Events> {
    follow_on(&yard.app.app, client, &yard.session, after, false).await
}

/// The next event as words, with its number in front.
async fn next(events: &mut (impl Stream<Item = Result<Event>> + Unpin)) -> String {
    let event = tokio::time::timeout(Duration::from_secs(15), events.next())
        .await
        .expect("nothing comes");
    match event {
        None => "the end".to_owned(),
        Some(Err(error)) => error.code().as_str().to_owned(),
        Some(Ok(Event { rev, what })) => {
            let what = match what {
                What::Added(chat) => format!("added {} {}", chat.seq, chat.content),
                What::Updated(chat) => format!("updated {} {}", chat.seq, chat.content),
                What::Deleted(chat) => format!("deleted {}", chat.seq),
                What::Ready { .. } => "ready".to_owned(),
                What::SessionUpdated(session) => format!("session {}", session.name.text),
                What::Participants {
                    joined,
                    left,
                    count,
                } => format!("people +{} -{} = {count}", joined.len(), left.len()),
                What::Presence { came, went, online } => {
                    format!("presence +{} -{} = {online}", came.len(), went.len())
                }
                What::Typing(user) => format!("typing {user}"),
            };
            format!("{} {what}", rev.0)
        }
    }
}

async fn expect(events: &mut Events, expected: &[&str]) {
    for expected in expected {
        assert_eq!(next(events).await, *expected);
    }
}

async fn is_silent(events: &mut Events) {
    let quiet = Duration::from_millis(300);
    if let Ok(event) = tokio::time::timeout(quiet, events.next()).await {
        panic!("{:?}", event.map(|event| event.map(|event| event.what)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cursor_it_begins_now() {
    let yard = yard().await;
    say(&yard.ann, &yard.session, "before").await;

    let mut events = follow(&yard, &yard.ben, None).await.unwrap();
    expect(&mut events, &["1 ready"]).await;
    let two = say(&yard.ann, &yard.session, "two").await;
    edit(&yard.ann, &two, "second").await.data();
    delete(&yard.ann, &two).await.data();

    expect(
        &mut events,
        &["2 added 2 two", "3 updated 2 second", "4 deleted 2"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_replayed_once_each_in_its_present_state() {
    let yard = yard().await;
    let mut chats = Vec::new();
    for n in 1..=5 {
        chats.push(say(&yard.ann, &yard.session, &format!("chat {n}")).await);
    }
    edit(&yard.ann, &chats[0], "one").await.data();
    edit(&yard.ann, &chats[3], "four").await.data();
    edit(&yard.ann, &chats[3], "FOUR").await.data();
    delete(&yard.ann, &chats[4]).await.data();
    edit(&yard.ann, &chats[1], "two").await.data();

    let mut all = follow(&yard, &yard.ben, Some(0)).await.unwrap();
    let mut some = follow(&yard, &yard.ben, Some(3)).await.unwrap();
    let mut none = follow(&yard, &yard.ben, Some(10)).await.unwrap();

    expect(
        &mut all,
        &[
            "1 added 1 one",
            "2 added 2 two",
            "3 added 3 chat 3",
            "4 added 4 FOUR",
            "5 deleted 5",
            "10 ready",
        ],
    )
    .await;
    expect(
        &mut some,
        &[
            "4 added 4 FOUR",
            "5 deleted 5",
            "6 updated 1 one",
            "10 updated 2 two",
            "10 ready",
        ],
    )
    .await;
    expect(&mut none, &["10 ready"]).await;
    say(&yard.ben, &yard.session, "live").await;
    for events in [&mut all, &mut some, &mut none] {
        expect(events, &["11 added 6 live"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_cannot_be_honoured_asks_for_a_resync() {
    let yard = yard().await;
    say(&yard.ann, &yard.session, "one").await;

    assert!(matches!(
        follow(&yard, &yard.ben, Some(2)).await.err(),
        Some(Error::ResyncRequired)
    ));
    assert!(follow(&yard, &yard.ben, Some(1)).await.is_ok());
    // As far away as a cursor may be, and one further.
    let replayed = i64::from(yard.app.app.config.limits.replay);
    let log = Log::open(&yard.app.app).await.unwrap();
    let id = ChatId::parse(&say(&yard.ann, &yard.session, "two").await).unwrap();
    let chat = log.chats(&[id]).await.unwrap().pop().unwrap();
    let at = |rev: i64| {
        let change = Change::Edit("two".to_owned());
        let clock = &yard.app.clock;
        [Entry::changing(
            clock.id(),
            Rev(rev),
            &chat,
            change,
            clock.now(),
        )]
    };
    log.append(&at(replayed + 1)).await.unwrap();
    assert!(follow(&yard, &yard.ben, Some(1)).await.is_ok());
    log.append(&at(replayed + 2)).await.unwrap();
    assert!(matches!(
        follow(&yard, &yard.ben, Some(1)).await.err(),
        Some(Error::ResyncRequired)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_missed_too_many_edits_resyncs_instead_of_holding_them_all() {
    let yard = yard().await;
    let id = ChatId::parse(&say(&yard.ann, &yard.session, "one").await).unwrap();
    let log = Log::open(&yard.app.app).await.unwrap();
    let one = log.chats(&[id]).await.unwrap().pop().unwrap();
    // Chats that are all edited later.
    let entries: Vec<_> = (2..=1_102)
        .map(|n| {
            let mut chat = one.clone();
            (chat.id, chat.seq) = (yard.app.clock.id(), n);
            (chat.born, chat.latest) = (Rev(n.into()), Rev(5_000));
            Entry::adding(&chat, None)
        })
        .collect();
    for batch in entries.chunks(100) {
        log.append(batch).await.unwrap();
    }

    let mut events = follow(&yard, &yard.ben, Some(1)).await.unwrap();
    let mut delivered = 0;
    let end = loop {
        match events.next().await.unwrap() {
            Ok(_) => delivered += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(end, Error::ResyncRequired), "{end}");
    assert!((900..=1_000).contains(&delivered), "{delivered}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_read_follow_and_the_others_leave_nothing_behind() {
    let yard = yard().await;
    let nothing = yard.app.id_of_nothing("chatsession");
    let public = yard.ann.chat_session(json!({})).await;
    let topics = yard.app.app.bus.topics();

    for (session, client, code) in [
        (&yard.session, &yard.eve, "NOT_FOUND"),
        (&nothing, &yard.ann, "NOT_FOUND"),
        (&public, &yard.eve, "FORBIDDEN"),
    ] {
        let refused = follow_on(&yard.app.app, client, session, None, true).await;
        assert_eq!(refused.err().unwrap().code().as_str(), code);
    }
    assert_eq!(yard.app.app.bus.topics(), topics);
    let mut events = follow(&yard, &yard.admin, Some(0)).await.unwrap();
    say(&yard.ann, &yard.session, "one").await;
    expect(&mut events, &["0 ready", "1 added 1 one"]).await;
    drop(events);

    for round in 0.. {
        if yard.app.app.bus.topics() == topics {
            break;
        }
        assert!(round < 100, "the room stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_right_gets_nothing_more_and_the_others_go_on() {
    let yard = yard().await;
    let mut of_ann = follow(&yard, &yard.ann, None).await.unwrap();
    let mut of_ben = follow(&yard, &yard.ben, None).await.unwrap();
    let mut of_admin = follow(&yard, &yard.admin, None).await.unwrap();
    for events in [&mut of_ann, &mut of_ben, &mut of_admin] {
        expect(events, &["0 ready"]).await;
    }

    let input = json!({ "id": yard.session, "userIds": [yard.ben.id] });
    yard.ann
        .mutate("removeChatParticipants", input, "chatSession { id }")
        .await
        .data();
    say(&yard.ann, &yard.session, "secret").await;

    let rest = next(&mut of_ben).await;
    assert_eq!(rest, "NOT_FOUND");
    assert_eq!(next(&mut of_ben).await, "the end");
    let mut seen = vec![next(&mut of_ann).await, next(&mut of_ann).await];
    seen.sort();
    assert_eq!(seen, ["0 people +0 -1 = 1", "1 added 1 secret"]);
    let other = yard.app.user("other").await;
    other
        .mutate(
            "joinChatSession",
            json!({ "id": yard.session }),
            "chatSession { id }",
        )
        .await
        .code();
    yard.app
        .insert_user("admin2", madang::access::Role::Admin)
        .await;
    next(&mut of_admin).await;
    next(&mut of_admin).await;
    let mut admin2 = yard.app.anonymous();
    admin2.log_in("admin2", crate::support::PASSWORD).await;
    let input = json!({ "id": yard.admin.id, "role": "USER" });
    admin2
        .mutate("setUserRole", input, "user { id }")
        .await
        .data();
    assert_eq!(next(&mut of_admin).await, "NOT_FOUND");
    let input = json!({ "id": yard.session });
    yard.ann
        .mutate("deleteChatSession", input, "deletedChatSessionId")
        .await
        .data();

    assert_eq!(next(&mut of_ann).await, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_learn_of_changes_of_the_session_and_of_who_takes_part() {
    let yard = yard().await;
    let mut events = follow(&yard, &yard.ann, None).await.unwrap();
    expect(&mut events, &["0 ready"]).await;

    let input = json!({ "id": yard.session, "name": "Renamed" });
    yard.ann
        .mutate("updateChatSession", input.clone(), "chatSession { id }")
        .await
        .data();
    expect(&mut events, &["0 session Renamed"]).await;
    yard.ann
        .mutate("updateChatSession", input, "chatSession { id }")
        .await
        .data();
    yard.admin.join(&yard.session).await;
    expect(&mut events, &["0 people +1 -0 = 3"]).await;
    // At most one event a second.
    let input = json!({ "id": yard.session, "userIds": [yard.eve.id] });
    yard.ann
        .mutate("inviteToChatSession", input, "chatSession { id }")
        .await
        .data();
    yard.eve.join(&yard.session).await;
    let leave = json!({ "id": yard.session });
    yard.ben
        .mutate("leaveChatSession", leave, "chatSession { id }")
        .await
        .data();
    expect(&mut events, &["0 people +1 -1 = 3"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn others_are_told_who_types_every_three_seconds() {
    let yard = yard().await;
    let mut of_ann = follow(&yard, &yard.ann, None).await.unwrap();
    let mut of_ben = follow(&yard, &yard.ben, None).await.unwrap();
    expect(&mut of_ann, &["0 ready"]).await;
    expect(&mut of_ben, &["0 ready"]).await;
    let typed = async |client: &Client| {
        let input = json!({ "chatSessionId": yard.session });
        client.mutate("setTyping", input, "success").await
    };

    typed(&yard.ann).await.data();
    typed(&yard.ann).await.data();
    yard.app.advance(3);
    typed(&yard.ann).await.data();

    let typing = format!("0 typing {}", yard.ann.id);
    expect(&mut of_ben, &[&typing, &typing]).await;
    is_silent(&mut of_ben).await;
    is_silent(&mut of_ann).await;
    assert_eq!(typed(&yard.eve).await.code(), "NOT_FOUND");
    assert_eq!(typed(&yard.admin).await.code(), "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_online_is_told_to_those_who_ask_and_a_short_break_is_none() {
    let yard = yard().await;
    let app = &yard.app.app;
    let online = async || {
        let document = "query($i: ID!) { chatSession(id: $i) { onlineCount participants { edges { isOnline } } } }";
        let answer = yard.ann.run(document, json!({ "i": yard.session })).await;
        let edges = answer
            .at("chatSession.participants.edges")
            .as_array()
            .unwrap()
            .clone();
        (answer.at("chatSession.onlineCount").as_i64(), edges)
    };
    assert_eq!(
        online().await,
        (Some(0), vec![json!({ "isOnline": false }); 2])
    );
    let mut of_ann = follow_on(app, &yard.ann, &yard.session, None, true)
        .await
        .unwrap();
    let mut unasked = follow(&yard, &yard.ann, None).await.unwrap();
    expect(&mut of_ann, &["0 ready"]).await;
    expect(&mut unasked, &["0 ready"]).await;

    let of_ben = follow(&yard, &yard.ben, None).await.unwrap();
    expect(&mut of_ann, &["0 presence +1 -0 = 2"]).await;
    assert_eq!(
        online().await,
        (Some(2), vec![json!({ "isOnline": true }); 2])
    );
    let admins = follow(&yard, &yard.admin, None).await.unwrap();
    drop(of_ben);
    let of_ben = follow(&yard, &yard.ben, None).await.unwrap();
    yard.app.advance(11);
    is_silent(&mut of_ann).await;
    drop(of_ben);
    is_silent(&mut of_ann).await;
    yard.app.advance(11);
    expect(&mut of_ann, &["0 presence +0 -1 = 1"]).await;

    is_silent(&mut unasked).await;
    drop(admins);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_presences_of_a_server_that_dies_end() {
    let yard = yard().await;
    let session = ChatSessionId::parse(&yard.session).unwrap();
    let ben = UserId::parse(&yard.ben.id).unwrap();
    // As a server does before it dies.
    presence::come(&yard.app.app, session, ben).await.unwrap();

    yard.app.advance(39);
    assert!(
        presence::online(&yard.app.app, session)
            .await
            .unwrap()
            .contains(&ben)
    );
    yard.app.advance(1);

    assert!(
        presence::online(&yard.app.app, session)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_who_was_too_slow_misses_nothing() {
    let yard = yard().await;
    let mut events = follow(&yard, &yard.ben, None).await.unwrap();
    expect(&mut events, &["0 ready"]).await;

    for n in 1..=300 {
        say(&yard.ann, &yard.session, &n.to_string()).await;
    }

    let mut expected = 1;
    while expected <= 300 {
        let event = next(&mut events).await;
        if !event.ends_with("ready") {
            assert_eq!(event, format!("{expected} added {expected} {expected}"));
            expected += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn badges_tell_which_sessions_have_something_new() {
    let yard = yard().await;
    let badges = live::badges(yard.app.app.clone(), yard.ben.caller().await)
        .await
        .unwrap();
    let mut badges = badges.boxed();
    // Others may come in between, since what was said is noted now and a second later.
    let mut until = async |session: &str| {
        for _ in 0..10 {
            let changed = tokio::time::timeout(Duration::from_secs(10), badges.next()).await;
            let changed = changed.expect("nothing comes").unwrap().unwrap();
            if changed.id.to_string() == session {
                return;
            }
        }
        panic!("only others come");
    };

    for _ in 0..5 {
        say(&yard.ann, &yard.session, "hello").await;
    }
    until(&yard.session).await;
    let input = json!({ "isVisible": false, "inviteIds": [yard.ben.id] });
    let other = yard.ann.chat_session(input).await;
    until(&other).await;
    yard.ben.join(&other).await;
    until(&other).await;
    say(&yard.ann, &other, "welcome").await;
    until(&other).await;
    let input = json!({ "id": yard.session, "userIds": [yard.ben.id] });
    yard.ann
        .mutate("removeChatParticipants", input, "chatSession { id }")
        .await
        .data();
    until(&yard.session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_follows_all_sessions_only_so_many_times_at_once() {
    let yard = yard().await;
    let badges = async |client: &Client| {
        let caller = client.caller().await;
        live::badges(yard.app.app.clone(), caller).await
    };
    let most = yard.app.app.config.limits.sockets;

    let mut taken = Vec::new();
    for _ in 0..most {
        taken.push(badges(&yard.ben).await.unwrap());
    }
    let refused = badges(&yard.ben).await.err();
    assert!(matches!(refused, Some(Error::LimitExceeded { .. })));
    assert!(badges(&yard.ann).await.is_ok());
    taken.pop();
    assert!(badges(&yard.ben).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_show_the_same() {
    let yard = yard().await;
    let flags: Vec<_> = yard
        .app
        .redis
        .iter()
        .flat_map(|redis| redis.flags())
        .collect();
    if flags.is_empty() {
        // Without Redis there is only one server.
        return;
    }
    let (one, other) = two_servers(&yard.app, &flags).await;
    let mut here = follow_on(&one, &yard.ann, &yard.session, Some(0), true)
        .await
        .unwrap();
    expect(&mut here, &["0 ready"]).await;
    let mut there = follow_on(&other, &yard.ben, &yard.session, Some(0), true)
        .await
        .unwrap();
    expect(&mut there, &["0 ready"]).await;
    expect(&mut here, &["0 presence +1 -0 = 2"]).await;

    // The server of the clients is a third one.
    for n in 1..=20 {
        let sent = send(&yard.ann, &yard.session, &n.to_string(), None).await;
        sent.data();
    }

    for n in 1..=20 {
        let added = format!("{n} added {n} {n}");
        expect(&mut here, &[&added]).await;
        expect(&mut there, &[&added]).await;
    }
}

/// A shape that counts how often an event is executed, and answers the event's number.
fn counting(operation: usize, count: &Arc<AtomicUsize>) -> Shape {
    let key = Key {
        operation,
        variables: String::new(),
        is_admin: false,
        language: Language::En,
    };
    let count = Arc::clone(count);
    Shape::new(key, move |Given(event)| {
        count.fetch_add(1, Ordering::SeqCst);
        let rev = event.downcast_ref::<Event>().unwrap().rev.0;
        async move { rev.to_string().into() }.boxed()
    })
}

type Deliveries = BoxStream<'static, Result<Delivery>>;

/// Follows from `after` on with a shape. Returns the number of its ChatReady too.
async fn follow_in_shape(
    yard: &Yard,
    client: &Client,
    after: Option<i64>,
    shape: Shape,
) -> (i64, Deliveries) {
    let wish = Wish {
        session: ChatSessionId::parse(&yard.session).unwrap(),
        after: after.map(Rev),
        presence: false,
    };
    let caller = client.caller().await;
    let followed = live::subscribe(yard.app.app.clone(), caller, wish, Some(shape));
    let mut followed = followed.await.unwrap().boxed();
    let ready = followed.next().await.unwrap().unwrap().into_event();
    let ready = ready.unwrap();
    assert!(matches!(ready.what, What::Ready { .. }));
    (ready.rev.0, followed)
}

/// Asserts that the events up to `last` come next, all of them and in order.
async fn expect_rendered(followed: &mut Deliveries, after: i64, last: i64) {
    for n in after + 1..=last {
        let next = tokio::time::timeout(Duration::from_secs(15), followed.next()).await;
        match next.expect("nothing comes").unwrap().unwrap() {
            Delivery::Rendered(bytes) => assert_eq!(bytes, n.to_string()),
            Delivery::Event(event) => panic!("{event:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_executed_once_for_all_who_want_it_in_the_same_shape() {
    let yard = yard().await;
    let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let mut followers = Vec::new();
    for n in 0..40 {
        let (client, shape) = if n % 2 == 0 {
            (&yard.ann, counting(1, &counts[0]))
        } else {
            (&yard.ben, counting(2, &counts[1]))
        };
        followers.push(follow_in_shape(&yard, client, Some(0), shape).await.1);
    }

    for n in 1..=10 {
        say(&yard.ann, &yard.session, &n.to_string()).await;
    }

    for followed in &mut followers {
        expect_rendered(followed, 0, 10).await;
    }
    assert_eq!(counts.map(|count| count.load(Ordering::SeqCst)), [10, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_come_while_others_talk_miss_nothing() {
    const CHATS: i64 = 60;
    let yard = yard().await;
    let count = Arc::default();
    let mut followers = Vec::new();
    // More than are fed at once.
    for _ in 0..150 {
        followers.push(follow_in_shape(&yard, &yard.ben, None, counting(1, &count)).await);
    }

    let talk = async {
        for n in 1..=CHATS {
            say(&yard.ann, &yard.session, &n.to_string()).await;
        }
    };
    let come = async {
        for _ in 0..150 {
            followers.push(follow_in_shape(&yard, &yard.ben, None, counting(1, &count)).await);
        }
    };
    tokio::join!(talk, come);

    for (ready, followed) in &mut followers {
        expect_rendered(followed, *ready, CHATS).await;
    }
    assert_eq!(
        count.load(Ordering::SeqCst),
        usize::try_from(CHATS).unwrap()
    );
}
