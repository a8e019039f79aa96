//! Any walk over pages, whatever their sizes and directions, meets the items of the whole list in its order.

use serde_json::{Value, json};

use crate::support::{Client, TestApp, any_board};

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// The list in an answer, wherever it is.
fn connection(answer: &Value) -> &Value {
    let mut at = answer;
    while at.get("edges").is_none() {
        at = at.as_object().unwrap().values().next().unwrap();
    }
    at
}

fn cursors(connection: &Value) -> Vec<String> {
    let edges = connection["edges"].as_array().unwrap();
    edges
        .iter()
        .map(|edge| edge["cursor"].as_str().unwrap().to_owned())
        .collect()
}

/// Reads parts of the list that `document` describes, with `$PAGE` in place of the arguments.
async fn walk(client: &Client, document: &str, dice: &mut Dice) {
    let page = "edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";
    let read = async |arguments: &str| {
        let document = document.replace("$PAGE", arguments).replace("$EDGES", page);
        let answer = client.query(&document).await;
        connection(answer.data()).clone()
    };
    let whole = cursors(&read("first: 100").await);
    assert!(whole.len() >= 9, "{document}");
    assert_eq!(cursors(&read("last: 100").await), whole, "{document}");

    for _ in 0..40 {
        let (size, backwards) = (1 + dice.below(5), dice.below(2) == 1);
        let bound = |dice: &mut Dice| (dice.below(3) > 0).then(|| dice.below(whole.len()));
        let (after, before) = (bound(dice), bound(dice));
        let count = if backwards { "last" } else { "first" };
        let mut arguments = format!("{count}: {size}");
        for (name, place) in [("after", after), ("before", before)] {
            if let Some(place) = place {
                arguments += &format!(", {name}: {:?}", whole[place]);
            }
        }
        let start = after.map_or(0, |place| place + 1);
        let end = before.unwrap_or(whole.len()).max(start);
        let part = &whole[start..end];
        let expected = match backwards {
            false => &part[..size.min(part.len())],
            true => &part[part.len().saturating_sub(size)..],
        };

        let found = read(&arguments).await;

        assert_eq!(cursors(&found), expected, "{arguments} of {document}");
        let info = &found["pageInfo"];
        assert_eq!(
            info["startCursor"].as_str(),
            expected.first().map(String::as_str)
        );
        assert_eq!(
            info["endCursor"].as_str(),
            expected.last().map(String::as_str)
        );
        let has_more = part.len() > size;
        let more = if backwards {
            "hasPreviousPage"
        } else {
            "hasNextPage"
        };
        assert_eq!(info[more], has_more, "{arguments} of {document}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_walk_over_pages_equals_the_full_list() {
    let app = TestApp::with(&["--rate-limits", "off"]).await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(any_board()).await;
    let mut posts = Vec::new();
    for n in 0..9 {
        let member = app.user(&format!("member{n}")).await;
        let name = format!("board {n}");
        let input =
            json!({ "name": name, "information": "i", "isVisible": false, "memberIds": [ann.id] });
        admin.board(input).await;
        let post = ann.post_on(&board, "a title").await;
        member.comment_on(&post, "one").await;
        let like = json!({ "id": post });
        for liker in [&ann, &member].into_iter().take(n % 3) {
            liker
                .mutate("likePost", like.clone(), "post { id }")
                .await
                .data();
        }
        posts.push(post);
        ann.comment_on(&posts[0], "more").await;
    }
    let session = ann.chat_session(json!({})).await;
    for n in 0..9 {
        let member = app.anonymous().again(&format!("member{n}")).await;
        member.join(&session).await;
        let chat = json!({ "chatSessionId": session, "content": "hello" });
        member.mutate("sendChat", chat, "chat { id }").await.data();
        ann.chat_session(json!({ "name": format!("s{n}") })).await;
    }

    let mut dice = Dice(7);
    let mut documents: Vec<String> = ["CREATED_AT", "UPDATED_AT", "VIEWS", "LIKES", "COMMENTS"]
        .iter()
        .flat_map(|field| ["ASC", "DESC"].map(|way| (field, way)))
        .map(|(field, way)| {
            let order = format!("orderBy: {{ field: {field}, direction: {way} }}");
            format!("{{ posts({order}, $PAGE) {{ $EDGES }} }}")
        })
        .collect();
    documents.extend([
        "{ posts(search: \"title\", $PAGE) { $EDGES } }".to_owned(),
        "{ boards($PAGE) { $EDGES } }".to_owned(),
        "{ users($PAGE) { $EDGES } }".to_owned(),
        format!(
            "{{ post(id: {:?}) {{ comments($PAGE) {{ $EDGES }} }} }}",
            posts[0]
        ),
        format!(
            "{{ user(id: {:?}) {{ comments($PAGE) {{ $EDGES }} }} }}",
            ann.id
        ),
        "{ viewer { grantedBoards($PAGE) { $EDGES } } }".to_owned(),
        "{ chatSessions(filter: JOINED, $PAGE) { $EDGES } }".to_owned(),
        format!("{{ chatSession(id: {session:?}) {{ participants($PAGE) {{ $EDGES }} }} }}"),
        format!("{{ chatSession(id: {session:?}) {{ chats($PAGE) {{ $EDGES }} }} }}"),
    ]);
    for document in documents {
        walk(&ann, &document, &mut dice).await;
    }
}
