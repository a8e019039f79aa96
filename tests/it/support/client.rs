//! Somebody who calls: over HTTP, through the router in this process, with every header that a browser would send.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use madang::{
    access::{self, Actor, Caller},
    accounts::tokens,
    error::Language,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{PASSWORD, TestApp, log};

/// A caller, signed in or not.
#[derive(Clone)]
pub struct Client {
    app: Arc<TestApp>,
    /// The user's id, once signed in.
    pub id: String,
    pub token: Option<String>,
    pub cookie: Option<String>,
    pub language: Option<&'static str>,
    /// The peer's address.
    pub address: &'static str,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Client {
    pub fn new(app: Arc<TestApp>) -> Self {
        Self {
            app,
            id: String::new(),
            token: None,
            cookie: None,
            language: None,
            address: "127.0.0.1",
        }
    }

    /// Who calls, as the server sees them.
    pub async fn caller(&self) -> Arc<Caller> {
        let app = &self.app.app;
        let claims = tokens::read_access(app, self.token.as_ref().unwrap()).unwrap();
        let client = access::Client {
            address: self.address.parse().unwrap(),
            user_agent: None,
            request_id: String::new(),
            language: Language::En,
        };
        let rights = app.rights.of(claims.session).await.unwrap();
        Caller::new(client, Actor::SignedIn(rights))
    }

    /// Signs in and keeps the access token.
    pub async fn log_in(&mut self, name: &str, password: &str) -> Answer {
        self.token = None;
        let answer = self
            .run(
                "mutation($i: LoginInput!) { login(input: $i) { accessToken refreshToken } }",
                json!({ "i": { "nameOrEmail": name, "password": password, "delivery": "BODY" } }),
            )
            .await;
        self.token = answer.at("login.accessToken").as_str().map(str::to_owned);
        answer
    }

    /// The same account on another device.
    pub async fn again(&self, name: &str) -> Self {
        let mut client = self.clone();
        client.log_in(name, PASSWORD).await;
        client
    }

    pub async fn query(&self, document: &str) -> Answer {
        self.run(document, json!({})).await
    }

    pub async fn run(&self, document: &str, variables: Value) -> Answer {
        log::note_secrets(&variables);
        self.post(json!({ "query": document, "variables": variables }).to_string())
            .await
    }

    /// Calls the mutation `name` with an input, and selects `fields` of its payload.
    pub async fn mutate(&self, name: &str, input: Value, fields: &str) -> Answer {
        let kind: String = name[..1].to_uppercase() + &name[1..];
        let document = format!("mutation($i: {kind}Input!) {{ {name}(input: $i) {{ {fields} }} }}");
        self.run(&document, json!({ "i": input })).await
    }

    /// Sends this body to `/graphql`.
    pub async fn post(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/graphql")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/graphql-response+json")
            .body(body.into())
            .unwrap();
        self.send(request).await
    }

    /// Sends this request, with who one is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.respond(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        log::note_secrets(&body);
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let token = cookie.split(['=', ';']).nth(1);
            log::note_secret(token.unwrap_or_default());
        }
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// The response to this request, with who one is.
    pub async fn respond(&self, mut request: Request<Body>) -> Response {
        let headers = request.headers_mut();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        if let Some(token) = &self.token {
            headers.insert(
                header::AUTHORIZATION,
                format!("Bearer {token}").parse().unwrap(),
            );
        }
        if let Some(cookie) = &self.cookie {
            headers.insert(header::COOKIE, cookie.parse().unwrap());
        }
        if let Some(language) = self.language {
            headers.insert(header::ACCEPT_LANGUAGE, language.parse().unwrap());
        }
        let peer: std::net::IpAddr = self.address.parse().unwrap();
        let peer = axum::extract::ConnectInfo(std::net::SocketAddr::new(peer, 4711));
        request.extensions_mut().insert(peer);
        self.app.server.router().oneshot(request).await.unwrap()
    }

    /// Makes a board and tells its id.
    pub async fn board(&self, input: Value) -> String {
        self.mutate("createBoard", input, "board { id }")
            .await
            .text("createBoard.board.id")
    }

    /// Makes a post and tells its id.
    pub async fn post_on(&self, board: &str, title: &str) -> String {
        let input =
            json!({ "boardId": board, "title": title, "content": format!("{title}: content") });
        self.mutate("createPost", input, "post { id }")
            .await
            .text("createPost.post.id")
    }

    /// Makes a chat session, with a name and an information unless `input` has them, and tells its id.
    pub async fn chat_session(&self, mut input: Value) -> String {
        for (field, value) in [("name", "Yard"), ("information", "For everybody")] {
            let fields = input.as_object_mut().unwrap();
            fields.entry(field).or_insert_with(|| value.into());
        }
        self.mutate("createChatSession", input, "chatSession { id }")
            .await
            .text("createChatSession.chatSession.id")
    }

    /// Joins a chat session.
    pub async fn join(&self, session: &str) {
        let input = json!({ "id": session });
        self.mutate("joinChatSession", input, "chatSession { id }")
            .await
            .data();
    }

    /// Makes a comment and tells its id.
    pub async fn comment_on(&self, post: &str, content: &str) -> String {
        let input = json!({ "postId": post, "content": content });
        self.mutate("createComment", input, "comment { id }")
            .await
            .text("createComment.comment.id")
    }
}

impl Answer {
    /// What stands in `data` at this path of names and indices with dots between them; null where nothing does.
    pub fn at(&self, path: &str) -> &Value {
        let pointer = format!("/data/{}", path.replace('.', "/"));
        self.body.pointer(&pointer).unwrap_or(&Value::Null)
    }

    /// The text at this path, which is there.
    #[track_caller]
    pub fn text(&self, path: &str) -> String {
        match self.at(path) {
            Value::String(text) => text.clone(),
            _ => panic!("no text at {path}: {}", self.body),
        }
    }

    /// The data, which came without errors.
    #[track_caller]
    pub fn data(&self) -> &Value {
        assert!(self.body.get("errors").is_none(), "{}", self.body);
        &self.body["data"]
    }

    pub fn errors(&self) -> &[Value] {
        self.body["errors"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The code of the only error.
    #[track_caller]
    pub fn code(&self) -> &str {
        assert_eq!(self.errors().len(), 1, "{}", self.body);
        self.errors()[0]["extensions"]["code"].as_str().unwrap()
    }

    /// Field and code of each violation.
    pub fn violations(&self) -> Vec<(String, String)> {
        let Some(violations) = self
            .errors()
            .first()
            .and_then(|e| e["extensions"]["violations"].as_array())
        else {
            return Vec::new();
        };
        let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
        violations
            .iter()
            .map(|v| (text(v, "field"), text(v, "code")))
            .collect()
    }

    /// The only violation.
    #[track_caller]
    pub fn violation(&self) -> (String, String) {
        let violations = self.violations();
        assert_eq!(violations.len(), 1, "{}", self.body);
        violations[0].clone()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
