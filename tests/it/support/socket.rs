//! A client of graphql-transport-ws that talks to a real server.

use std::io;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// A socket that the server has acknowledged.
pub struct Socket(WebSocketStream<TcpStream>);

/// What the server says.
#[derive(Debug)]
pub enum Said {
    Message(Value),
    /// The last thing, with the code of the close if there is one.
    Closed(Option<u16>),
}

impl Socket {
    /// # Errors
    /// Those of the connection.
    pub async fn open(address: &str, token: &str) -> io::Result<Self> {
        Self::over(TcpStream::connect(address).await?, token).await
    }

    /// The same over a connection that is there.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn over(stream: TcpStream, token: &str) -> io::Result<Self> {
        let address = stream.peer_addr()?;
        let request = format!("ws://{address}/graphql").into_client_request();
        let mut request = request.map_err(io::Error::other)?;
        let protocol = "graphql-transport-ws".parse().map_err(io::Error::other)?;
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let opened = client_async(request, stream).await;
        let mut socket = Self(opened.map_err(io::Error::other)?.0);
        socket
            .say(&json!({ "type": "connection_init", "payload": { "token": token } }))
            .await?;
        match socket.next().await? {
            Said::Message(said) if said["type"] == "connection_ack" => Ok(socket),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    /// # Errors
    /// Those of the connection.
    pub async fn say(&mut self, message: &Value) -> io::Result<()> {
        let sent = self.0.send(Message::text(message.to_string())).await;
        sent.map_err(io::Error::other)
    }

    /// # Errors
    /// Those of the connection.
    pub async fn subscribe(&mut self, query: &str, variables: Value) -> io::Result<()> {
        let payload = json!({ "query": query, "variables": variables });
        self.say(&json!({ "type": "subscribe", "id": "1", "payload": payload }))
            .await
    }

    /// What comes next. Cancel-safe.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn next(&mut self) -> io::Result<Said> {
        loop {
            match self.0.next().await {
                None => return Ok(Said::Closed(None)),
                Some(Ok(Message::Text(text))) => {
                    let said = serde_json::from_str(&text).map_err(io::Error::other)?;
                    return Ok(Said::Message(said));
                }
                Some(Ok(Message::Close(frame))) => {
                    return Ok(Said::Closed(frame.map(|frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
    }
}
