//! Background work of posts: writing views, and taking back the likes of deleted accounts.

use serde::{Deserialize, Serialize};

use super::store::{likes, views};
use crate::{
    accounts::UserDeleted,
    ids::UserId,
    queue::Payload,
    work::{Done, Failure, Run, Work},
};

/// Writes the views that the cache has counted.
#[derive(Default, Serialize, Deserialize)]
pub struct WriteViews {}

impl Payload for WriteViews {
    const KIND: &'static str = "write_views";
}

impl Work for WriteViews {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        views::flush(&run.app).await?;
        Ok(run.done())
    }
}

/// Takes back the likes of a deleted account, in batches.
#[derive(Serialize, Deserialize)]
pub struct TakeBackLikes {
    user: UserId,
}

impl From<UserDeleted> for TakeBackLikes {
    fn from(UserDeleted { user }: UserDeleted) -> Self {
        Self { user }
    }
}

impl Payload for TakeBackLikes {
    const KIND: &'static str = "take_back_likes";
}

impl Work for TakeBackLikes {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let user = self.user;
        let all = run
            .app
            .db
            .read(move |conn| likes::count_of(conn, user))
            .await?;
        let mut left = all;
        while left > 0 {
            run.progress((all - left) as f64 / all as f64).await?;
            match run
                .write(move |conn| likes::take_back_some(conn, user))
                .await?
            {
                0 => break,
                taken => left -= taken,
            }
        }
        Ok(run.done())
    }
}
