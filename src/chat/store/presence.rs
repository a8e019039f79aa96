//! Who is online in chat sessions, on all servers: users of whom some server has a live subscription. Each server enrols
//! its own in the cache and renews them, so that those of a server that dies are gone after [`KEPT`].

use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
    sync::OnceLock,
    time::Duration,
};

use futures_util::future::join_all;
use uuid::Uuid;

use super::presence_in;
use crate::{
    access::Actor,
    app::App,
    error::Result,
    ids::{ChatKind, ChatSessionId, UserId},
    loader::Batch,
};

/// How often a server renews those that it has.
pub const RENEWED: Duration = Duration::from_secs(10);
/// How long a user counts as online whose subscription has ended, so that a short break of the connection is none.
pub const GRACE: Duration = Duration::from_secs(10);
/// How long those of a server that has died count as online: 30 seconds until it counts as dead, and the grace.
pub const KEPT: Duration = Duration::from_secs(40);

/// This server, to keep its users apart from those of others.
#[derive(Default)]
struct Server(OnceLock<Uuid>);

fn set(session: ChatSessionId) -> String {
    format!("online:{session}")
}

async fn enrol(
    app: &App,
    session: ChatSessionId,
    users: &[UserId],
    lifetime: Duration,
) -> Result<()> {
    let server = app.memory.of::<Server>(TypeId::of::<Server>());
    let server = server
        .0
        .get_or_init(|| app.clock.id::<ChatKind>().uuid())
        .simple();
    let members: Vec<_> = users
        .iter()
        .map(|user| format!("{user}@{server}"))
        .collect();
    app.cache.enrol(&set(session), &members, lifetime).await
}

/// Notes that `users` have a subscription on this server. Repeat it every [`RENEWED`].
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn renew(app: &App, session: ChatSessionId, users: &[UserId]) -> Result<()> {
    enrol(app, session, users, KEPT).await
}

/// As [`renew`], for a user who comes online.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn come(app: &App, session: ChatSessionId, user: UserId) -> Result<()> {
    renew(app, session, &[user]).await?;
    app.bus.publish(&presence_in(session), user);
    Ok(())
}

/// Notes that `users` have no subscription on this server any more.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn go(app: &App, session: ChatSessionId, users: &[UserId]) -> Result<()> {
    enrol(app, session, users, GRACE).await?;
    for user in users {
        app.bus.publish(&presence_in(session), *user);
    }
    Ok(())
}

/// Who is online.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn online(app: &App, session: ChatSessionId) -> Result<HashSet<UserId>> {
    let members = app.cache.members(&set(session)).await?;
    let users = members
        .iter()
        .filter_map(|member| UserId::parse(member.split('@').next()?).ok());
    Ok(users.collect())
}

/// Who is online in sessions that the actor may see.
pub struct OnlineIn;

impl Batch for OnlineIn {
    type Key = ChatSessionId;
    type Value = std::sync::Arc<HashSet<UserId>>;

    async fn load(
        app: &App,
        _: Actor,
        sessions: Vec<ChatSessionId>,
    ) -> Result<HashMap<ChatSessionId, Self::Value>> {
        let found = join_all(sessions.iter().map(|session| online(app, *session))).await;
        let found = sessions.into_iter().zip(found);
        found
            .map(|(session, users)| Ok((session, users?.into())))
            .collect()
    }
}
