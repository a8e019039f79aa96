//! A line to an engine that a test can disturb in ways that killing the engine does not: it falls silent, is slow, or is
//! cut.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// What becomes of bytes on the line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Open,
    /// Each part arrives so much later.
    Slow(Duration),
    /// Connections stand, also new ones, but nothing arrives any more: half-open, as when the other side has lost its
    /// power. What was sent meanwhile arrives once the line is open again.
    Silent,
    /// Connections are closed, also new ones.
    Cut,
}

/// A proxy in front of an engine.
pub struct Line {
    url: String,
    state: watch::Sender<State>,
}

impl Line {
    /// An open line to the engine of this URL.
    pub async fn to(url: &str) -> Self {
        let mut own = url::Url::parse(url).unwrap();
        let engine = format!("{}:{}", own.host_str().unwrap(), own.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        own.set_port(Some(port)).unwrap();
        let (state, states) = watch::channel(State::Open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect(&engine).await {
                    let (from_near, to_near) = near.into_split();
                    let (from_far, to_far) = far.into_split();
                    tokio::spawn(pass(from_near, to_far, states.clone()));
                    tokio::spawn(pass(from_far, to_near, states.clone()));
                }
            }
        });
        Self {
            url: own.into(),
            state,
        }
    }

    /// The setting that names the engine at the end of the line.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

/// Passes on what comes, until one side closes or the line is cut.
async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut states: watch::Receiver<State>,
) -> Option<()> {
    let mut part = vec![0; 16 << 10];
    loop {
        let length = tokio::select! {
            length = from.read(&mut part) => length.ok()?,
            _ = states.wait_for(|state| *state == State::Cut) => return None,
        };
        let state = *states
            .wait_for(|state| *state != State::Silent)
            .await
            .ok()?;
        match state {
            State::Slow(pause) => tokio::time::sleep(pause).await,
            State::Cut => return None,
            State::Open | State::Silent => {}
        }
        if length == 0 {
            return to.shutdown().await.ok();
        }
        to.write_all(&part[..length]).await.ok()?;
    }
}
