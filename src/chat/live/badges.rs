//! Which of a user's sessions have something new: for badges.

use std::{
    any::TypeId,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::{
    access::{Actor, Caller},
    app::App,
    bus::{Heard, Listener},
    chat::{
        ChatSession,
        store::{self, ReadableSession, people},
    },
    counts::{Counts, Taken},
    error::{Error, Result},
    ids::{ChatSessionId, UserId},
    loader::Batch,
};

/// The least time between two events of one session.
const COALESCED: Duration = Duration::from_secs(1);

struct Badges {
    app: App,
    caller: Arc<Caller>,
    user: UserId,
    /// Sessions that concern the user anew.
    own: Listener<ChatSessionId>,
    /// What happens in the user's sessions.
    sessions: Listener<Uuid>,
    /// The user's sessions as last seen: one that the user can no longer see is told as it was.
    known: HashMap<ChatSessionId, ChatSession>,
    /// What is to be told, and from when on.
    pending: BTreeMap<ChatSessionId, Instant>,
    told: HashMap<ChatSessionId, Instant>,
    _taken: Taken<UserId>,
}

/// The sessions of the caller that get a chat, an invitation or a change, or lose the caller.
///
/// # Errors
/// `UNAUTHENTICATED`; `LIMIT_EXCEEDED` for too many at once, since each holds all sessions of the caller; `UNAVAILABLE`.
pub async fn badges(
    app: App,
    caller: Arc<Caller>,
) -> Result<impl Stream<Item = Result<ChatSession>> + use<>> {
    let user = caller.actor().id().ok_or(Error::Unauthenticated)?;
    let limit = app.config.limits.sockets;
    let counts: Arc<Counts<UserId>> = app.memory.of(TypeId::of::<Badges>());
    let taken = counts.take(user, limit).ok_or(Error::LimitExceeded {
        what: "subscriptions to chatSessionChanged",
        limit: limit as u64,
    })?;
    let own = app.bus.listen(&[store::changed_for(user)]).await?;
    let mut badges = Badges {
        sessions: app.bus.listen(&[]).await?,
        app,
        caller,
        user,
        own,
        known: HashMap::new(),
        pending: BTreeMap::new(),
        told: HashMap::new(),
        _taken: taken,
    };
    badges.listen().await?;
    Ok(stream::unfold(Some(badges), |badges| async {
        let mut badges = badges?;
        match badges.next().await {
            Ok(session) => Some((Ok(session), Some(badges))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Badges {
    /// Listens to the sessions that the user takes part in now.
    async fn listen(&mut self) -> Result<()> {
        let joined = people::sessions_of(&self.app, self.user).await?;
        let topics: Vec<_> = joined
            .iter()
            .flat_map(|one| [store::active(one.id), store::changed(one.id)])
            .map(|topic| topic.untyped())
            .collect();
        self.sessions = self.app.bus.listen(&topics).await?;
        self.known
            .extend(joined.into_iter().map(|one| (one.id, one)));
        Ok(())
    }

    async fn next(&mut self) -> Result<ChatSession> {
        loop {
            let now = Instant::now();
            let due = self.pending.iter().find(|(_, at)| **at <= now);
            if let Some(session) = due.map(|(session, _)| *session) {
                self.pending.remove(&session);
                self.told
                    .retain(|_, at| now.duration_since(*at) < COALESCED);
                self.told.insert(session, now);
                if let Some(session) = self.session(session).await? {
                    return Ok(session);
                }
                continue;
            }
            let next = self.pending.values().min().copied();
            let next = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = self.own.next() => {
                    self.note(match heard {
                        Heard::News(news) => Some(news.about),
                        Heard::Missed => None,
                    })?;
                    self.listen().await?;
                }
                heard = self.sessions.next() => self.note(match heard {
                    Heard::News(news) => Some(ChatSessionId::from_uuid(news.about)),
                    Heard::Missed => None,
                })?,
                () = next => {}
            }
        }
    }

    /// Notes that a session has something new.
    fn note(&mut self, session: Option<ChatSessionId>) -> Result<()> {
        // Badges are not replayed: clients reload the list and subscribe again.
        let session = session.ok_or(Error::ResyncRequired)?;
        let told = self.told.get(&session);
        let at = told.map_or_else(Instant::now, |at| *at + COALESCED);
        self.pending.entry(session).or_insert(at);
        Ok(())
    }

    /// The session as it is now, or as it was if the user can no longer see it.
    async fn session(&mut self, id: ChatSessionId) -> Result<Option<ChatSession>> {
        let actor: Actor = self.caller.actor();
        let found = ReadableSession::load(&self.app, actor, vec![id]).await?;
        match found.into_values().next() {
            Some(session) => {
                self.known.insert(id, session.clone());
                Ok(Some(session))
            }
            None => Ok(self.known.remove(&id)),
        }
    }
}
