//! Notes in the database when something was last said in sessions: each at most once a second, many in one transaction.
//! A server that dies leaves a note out, and the next chat brings it.

use std::{any::TypeId, collections::HashMap, mem, sync::Arc, time::Duration};

use diesel::prelude::*;
use parking_lot::Mutex;

use super::{active, people};
use crate::{
    app::App,
    clock::Timestamp,
    db::{Conn, lists, on, tables::chat_sessions},
    error::Result,
    ids::ChatSessionId,
};

/// The least time between two notes.
const BETWEEN: Duration = Duration::from_secs(1);

/// What is not noted yet.
#[derive(Default)]
struct Touches(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    spoken: HashMap<ChatSessionId, Timestamp>,
    is_running: bool,
}

/// Notes that something was said in `session`, now or within a second.
pub fn touch(app: &App, session: ChatSessionId, at: Timestamp) {
    let touches: Arc<Touches> = app.memory.of(TypeId::of::<Touches>());
    {
        let mut pending = touches.0.lock();
        let last = pending.spoken.entry(session).or_insert(at);
        *last = at.max(*last);
        if mem::replace(&mut pending.is_running, true) {
            return;
        }
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends by itself, and a shutdown need not wait for it"
    )]
    tokio::spawn(run(app.clone(), touches));
}

async fn run(app: App, touches: Arc<Touches>) {
    loop {
        let spoken: Vec<_> = {
            let mut pending = touches.0.lock();
            let spoken = mem::take(&mut pending.spoken);
            pending.is_running = !spoken.is_empty();
            spoken.into_iter().collect()
        };
        if spoken.is_empty() {
            return;
        }
        let sessions: Vec<_> = spoken.iter().map(|(session, _)| *session).collect();
        if let Err(error) = app.db.write(move |conn| write(conn, &spoken)).await {
            tracing::warn!(%error, "the latest activity of chat sessions could not be noted");
        }
        for session in sessions {
            app.bus.publish(&active(session), session);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

fn write(conn: &mut Conn, spoken: &[(ChatSessionId, Timestamp)]) -> Result<()> {
    use chat_sessions::{direct_key, id, last_activity_at, table};
    let mut spoken = spoken.to_vec();
    // In one order, so that two servers cannot deadlock.
    spoken.sort();
    for (session, at) in &spoken {
        let older = table.find(session).filter(last_activity_at.lt(at));
        on!(conn, |c| diesel::update(older)
            .set(last_activity_at.eq(at))
            .execute(c))?;
    }
    let ids = spoken.iter().map(|(session, _)| *session);
    let direct: Vec<ChatSessionId> = on!(conn, |c| table
        .filter(lists::among(id, ids))
        .filter(direct_key.is_not_null())
        .select(id)
        .load(c))?;
    for session in direct {
        people::set_hidden(conn, session, None, false)?;
    }
    Ok(())
}
