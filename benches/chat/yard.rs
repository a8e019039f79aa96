//! The users and chat sessions of a load.

use serde_json::{Value, json};

use crate::http::Request;

const PASSWORD: &str = "ten thousand who listen";
/// Users; each has many sockets.
const USERS: usize = 50;
/// Users of each session where there are many.
const FEW_USERS: usize = 10;

/// Who follows what.
pub struct Yard {
    /// Access tokens. The first user sends the chats.
    pub tokens: Vec<String>,
    pub sessions: Vec<String>,
}

/// Signs users up, and makes sessions in which all of them take part.
///
/// # Errors
/// The server refuses something.
pub fn settle(port: u16, sessions: usize) -> anyhow::Result<Yard> {
    let count = if sessions > 1 { FEW_USERS } else { USERS };
    let mut tokens = Vec::new();
    for n in 0..count {
        let name = format!("user{n:02}");
        let email = format!("{name}@example.org");
        run(
            port,
            None,
            "mutation ($i: SignUpInput!) { signUp(input: $i) { user { id } } }",
            &json!({ "i": { "name": name, "email": email, "password": PASSWORD } }),
        )?;
        let signed_in = run(
            port,
            None,
            "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }",
            &json!({ "i": { "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" } }),
        )?;
        tokens.push(text(&signed_in, "/login/accessToken")?);
    }
    let mut made = Vec::new();
    for n in 0..sessions {
        let input = json!({ "i": { "name": format!("session {n}"), "information": "load" } });
        let session = run(
            port,
            Some(&tokens[0]),
            "mutation ($i: CreateChatSessionInput!) { createChatSession(input: $i) { chatSession { id } } }",
            &input,
        )?;
        let session = text(&session, "/createChatSession/chatSession/id")?;
        for token in &tokens[1..] {
            run(
                port,
                Some(token),
                "mutation ($i: JoinChatSessionInput!) { joinChatSession(input: $i) { chatSession { id } } }",
                &json!({ "i": { "id": session } }),
            )?;
        }
        made.push(session);
    }
    Ok(Yard {
        tokens,
        sessions: made,
    })
}

fn run(port: u16, token: Option<&String>, query: &str, variables: &Value) -> anyhow::Result<Value> {
    let mut request = Request::post(
        "/graphql",
        &json!({ "query": query, "variables": variables }),
    );
    if let Some(token) = token {
        request = request.with("Authorization", format!("Bearer {token}"));
    }
    let answer = request.json(port)?;
    anyhow::ensure!(answer.get("errors").is_none(), "{answer}");
    Ok(answer["data"].clone())
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found
        .ok_or_else(|| anyhow::anyhow!("no {pointer} in {value}"))?
        .to_owned())
}
