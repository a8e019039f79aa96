//! Background work of chat: ending the participations of deleted accounts, and deleting what was said in deleted sessions.

use serde::{Deserialize, Serialize};

use super::{
    SessionDeleted,
    store::{log::Log, people},
};
use crate::{
    accounts::UserDeleted,
    ids::{ChatSessionId, UserId},
    queue::Payload,
    work::{Done, Failure, Run, Work},
};

/// Ends the participations of a deleted account, in batches.
#[derive(Serialize, Deserialize)]
pub struct LeaveChats {
    user: UserId,
}

impl From<UserDeleted> for LeaveChats {
    fn from(UserDeleted { user }: UserDeleted) -> Self {
        Self { user }
    }
}

impl Payload for LeaveChats {
    const KIND: &'static str = "leave_chats";
}

impl Work for LeaveChats {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let user = self.user;
        loop {
            let left = run.write(move |conn| people::end_some(conn, user)).await?;
            if left.is_empty() {
                return Ok(run.done());
            }
            for session in left {
                people::tell_end(&run.app, session, user);
            }
        }
    }
}

/// Deletes what was said in a deleted session, in batches.
#[derive(Serialize, Deserialize)]
pub struct DeleteChats {
    session: ChatSessionId,
}

impl From<SessionDeleted> for DeleteChats {
    fn from(SessionDeleted { session }: SessionDeleted) -> Self {
        Self { session }
    }
}

impl Payload for DeleteChats {
    const KIND: &'static str = "delete_chats";
}

impl Work for DeleteChats {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let log = Log::open(&run.app).await?;
        while log.delete_some(self.session).await? > 0 {}
        Ok(run.done())
    }
}
