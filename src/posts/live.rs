//! Posts as they come: a hint from the bus, then a look into the store for what this reader may see.

use std::sync::Arc;

use futures_util::{Stream, stream};

use super::{Post, store};
use crate::{
    access::{Actor, Caller},
    accounts::store::sessions,
    app::App,
    boards::store as boards_store,
    bus::{Heard, Listener, Topic},
    error::{Error, Result},
    ids::{BoardId, PostId},
};

/// What one reader of one board waits for.
struct Watch {
    app: App,
    caller: Arc<Caller>,
    board: BoardId,
    posts: Listener,
    boards: Listener,
    rights: Listener,
}

/// The posts that are added to `board` from now on, as far as the caller may read them. Ends with an error when the right
/// to enter the board ends.
///
/// # Errors
/// `NOT_FOUND` when the caller may not enter the board.
pub async fn added(
    app: App,
    caller: Arc<Caller>,
    board: BoardId,
) -> Result<impl Stream<Item = Result<Post>>> {
    // Listening comes first: what changes after the check must be heard.
    let (posts, boards, rights) = (
        app.bus.listen(Topic::PostsOf(board.uuid())),
        app.bus.listen(Topic::Boards),
        app.bus.listen(Topic::Rights),
    );
    boards_store::readable(&app, caller.actor(), board).await?;
    let watch = Watch {
        app,
        caller,
        board,
        posts,
        boards,
        rights,
    };
    Ok(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await? {
            Ok(post) => Some((Ok(post), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Watch {
    /// The next post; an error when the right has ended; nothing when the bus is gone.
    async fn next(&mut self) -> Option<Result<Post>> {
        loop {
            tokio::select! {
                heard = self.posts.next() => {
                    // Posts are not replayed, so what was missed is missed: readers refetch.
                    if let Heard::Message(post) = heard? {
                        match store::readable(&self.app, self.caller.actor(), PostId::from_uuid(post)).await {
                            Ok(post) => return Some(Ok(post)),
                            Err(Error::NotFound) => {}
                            Err(error) => return Some(Err(error)),
                        }
                    }
                }
                heard = self.boards.next() => {
                    if (heard? == Heard::Message(self.board.uuid()) || heard? == Heard::Missed)
                        && let Err(error) = self.check().await
                    {
                        return Some(Err(error));
                    }
                }
                heard = self.rights.next() => {
                    let own = self.caller.actor().id().map(|id| Heard::Message(id.uuid()));
                    if (Some(heard?) == own || heard? == Heard::Missed)
                        && let Err(error) = self.check().await
                    {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// Reads the rights again.
    async fn check(&self) -> Result<()> {
        if let Some(signed_in) = self.caller.actor().signed_in() {
            let present = sessions::current(&self.app, signed_in.session).await?;
            self.caller.become_actor(Actor::SignedIn(present));
        }
        boards_store::readable(&self.app, self.caller.actor(), self.board)
            .await
            .map(drop)
    }
}
