//! The README's first steps, as a newcomer takes them.

use madang::access::Role;
use serde_json::Value;

use crate::support::TestApp;

const README: &str = include_str!("../../README.md");

/// The contents of the README's blocks of code in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let begun = README.split(&fence).skip(1);
    begun
        .map(|rest| rest.split_once("\n```").expect("an end").0)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_steps_lead_where_the_readme_says() {
    let app = TestApp::start().await;
    let mut client = app.anonymous();
    app.insert_user("root", Role::Admin).await;
    let documents = blocks("graphql");
    let is_subscription = |document: &str| document.starts_with("subscription");
    assert!(documents[0].contains("login("));
    let subscriptions = documents
        .iter()
        .filter(|document| is_subscription(document));
    assert_eq!(subscriptions.count(), 3);
    let (mut board, mut post, mut session) = (String::new(), String::new(), String::new());
    let (mut model, mut log) = (String::new(), String::new());
    let mut answers = Vec::new();
    let (mut answered, mut said) = (Value::Null, Value::Null);

    for document in documents {
        if is_subscription(document) {
            // Those run over a socket, in tests/js.
            if answered.is_null() {
                answered = said.clone();
            }
            continue;
        }
        let document = document
            .replace("chatsession_01…", &session)
            .replace("aimodel_01…", &model)
            .replace("ailog_01…", &log)
            .replace("board_01…", &board)
            .replace("post_01…", &post);
        let answer = client.query(&document).await;
        let data = answer.data();
        if let Some(id) = data
            .pointer("/createBoard/board/id")
            .and_then(Value::as_str)
        {
            id.clone_into(&mut board);
        } else if let Some(id) = data.pointer("/createPost/post/id").and_then(Value::as_str) {
            id.clone_into(&mut post);
        } else if let Some(id) = data
            .pointer("/createChatSession/chatSession/id")
            .and_then(Value::as_str)
        {
            id.clone_into(&mut session);
        } else if let Some(id) = data
            .pointer("/createAiModel/aiModel/id")
            .and_then(Value::as_str)
        {
            id.clone_into(&mut model);
            app.run_jobs().await;
        } else if let Some(id) = data
            .pointer("/createAiLog/aiLog/id")
            .and_then(Value::as_str)
        {
            id.clone_into(&mut log);
            app.run_jobs().await;
        } else if let Some(token) = data.pointer("/login/accessToken").and_then(Value::as_str) {
            client.token = Some(token.to_owned());
        }
        said = answer.body.clone();
        answers.push(said.clone());
    }

    let promised = blocks("json");
    let promised = promised
        .iter()
        .map(|json| serde_json::from_str::<Value>(json).unwrap());
    let [first, model, log] = promised.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(answered, first);
    let find = |name: &str| {
        answers
            .iter()
            .find(|answer| answer["data"][name].is_object())
            .unwrap()
    };
    let chats = &find("chatSession")["data"]["chatSession"]["chats"]["nodes"];
    assert_eq!(chats[0]["content"], "안녕!");
    assert_nearly(find("aiModel"), &model);
    assert_nearly(find("aiLog"), &log);
}

/// Both are the same, numbers up to a millionth of a millionth.
fn assert_nearly(found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert!(found.keys().eq(expected.keys()));
            found
                .iter()
                .zip(expected.values())
                .for_each(|((_, f), e)| assert_nearly(f, e));
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len());
            found
                .iter()
                .zip(expected)
                .for_each(|(f, e)| assert_nearly(f, e));
        }
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() <= 1e-9 * expected.abs(),
                "{found} {expected}"
            );
        }
        _ => assert_eq!(found, expected),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_that_it_mentions_are_there() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mentioned: Vec<_> = README
        .split('`')
        .filter(|code| code.starts_with("posts("))
        .collect();
    assert!(mentioned.len() >= 2, "{mentioned:?}");

    for list in mentioned {
        let answer = ann
            .query(&format!("{{ {list} {{ nodes {{ id }} }} }}"))
            .await;

        assert!(answer.errors().is_empty(), "{list}: {:?}", answer.errors());
    }
}
