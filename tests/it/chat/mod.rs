//! Chat: sessions, who takes part, what is said, and what subscribers get.

mod kill;
mod live;
mod sessions;
mod sockets;
mod talk;

use std::sync::Arc;

use serde_json::json;

use crate::support::{Answer, Client, TestApp};

const WHOLE: &str = "chat { id seq content isDeleted updatedAt idempotencyKey author { name } viewerCanEdit viewerCanDelete }";

async fn send(client: &Client, session: &str, content: &str, key: Option<&str>) -> Answer {
    let input = json!({ "chatSessionId": session, "content": content, "idempotencyKey": key });
    client.mutate("sendChat", input, WHOLE).await
}

async fn say(client: &Client, session: &str, content: &str) -> String {
    send(client, session, content, None)
        .await
        .text("sendChat.chat.id")
}

async fn edit(client: &Client, chat: &str, content: &str) -> Answer {
    let input = json!({ "id": chat, "content": content });
    client.mutate("updateChat", input, WHOLE).await
}

async fn delete(client: &Client, chat: &str) -> Answer {
    client
        .mutate("deleteChat", json!({ "id": chat }), WHOLE)
        .await
}

/// Ann's session, in which Ben takes part too; an admin and Eve, who do not.
struct Yard {
    app: Arc<TestApp>,
    ann: Client,
    ben: Client,
    eve: Client,
    admin: Client,
    session: String,
}

async fn yard() -> Yard {
    let app = TestApp::start().await;
    let (admin, (ann, ben), eve) = (
        app.admin().await,
        app.two_users().await,
        app.user("eve").await,
    );
    let session = ann
        .chat_session(json!({ "isVisible": false, "inviteIds": [ben.id] }))
        .await;
    ben.join(&session).await;
    Yard {
        app,
        ann,
        ben,
        eve,
        admin,
        session,
    }
}
