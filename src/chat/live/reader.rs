//! Reads what has changed in the sessions that this server follows, for all rooms together.

use std::{any::TypeId, mem, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    app::App,
    chat::{Chat, Rev, store::log::Log},
    error::{Error, Result},
    ids::ChatSessionId,
};

/// The most changes of a session that are read at once. After so many, there may be more.
pub const LIMIT: u32 = 100;
/// The most sessions that are read at once.
const TOGETHER: usize = 200;

/// Changes of a session, in order, each with its chat.
pub type Changes = Vec<(Rev, Chat)>;

struct Question {
    session: ChatSessionId,
    after: Rev,
    reply: oneshot::Sender<Result<Changes>>,
}

#[derive(Default)]
struct Reader(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    questions: Vec<Question>,
    is_running: bool,
}

/// The first [`LIMIT`] changes of `session` after a number.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn read(app: &App, session: ChatSessionId, after: Rev) -> Result<Changes> {
    let reader: Arc<Reader> = app.memory.of(TypeId::of::<Reader>());
    let (reply, answer) = oneshot::channel();
    let is_running = {
        let mut waiting = reader.0.lock();
        waiting.questions.push(Question {
            session,
            after,
            reply,
        });
        mem::replace(&mut waiting.is_running, true)
    };
    if !is_running {
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends when nobody asks any more"
        )]
        tokio::spawn(run(app.clone(), reader));
    }
    answer
        .await
        .map_err(|_| Error::internal("the reader of chat sessions ended"))?
}

async fn run(app: App, reader: Arc<Reader>) {
    loop {
        let questions: Vec<_> = {
            let mut waiting = reader.0.lock();
            let count = waiting.questions.len().min(TOGETHER);
            waiting.is_running = count > 0;
            waiting.questions.drain(..count).collect()
        };
        if questions.is_empty() {
            return;
        }
        answer(&app, questions).await;
    }
}

async fn answer(app: &App, questions: Vec<Question>) {
    let asked: Vec<_> = questions.iter().map(|q| (q.session, q.after)).collect();
    let read = async { Log::open(app).await?.after(&asked, LIMIT).await };
    match read.await {
        Ok(found) => {
            for (question, changes) in questions.into_iter().zip(found) {
                // Fails when the room has ended.
                let _ = question.reply.send(Ok(changes));
            }
        }
        Err(error) => {
            for question in questions {
                let _ = question.reply.send(Err(error.clone()));
            }
        }
    }
}
