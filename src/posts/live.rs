//! What is added while one watches, posts to a board or comments to a post: a hint from the bus, then a look into the
//! store for what this reader may see.

use std::sync::Arc;

use futures_util::{Stream, stream};
use uuid::Uuid;

use super::store;
use crate::{
    access::{Actor, Caller},
    accounts::store::sessions,
    app::App,
    boards::store as boards_store,
    bus::{Heard, Listener, Topic},
    error::{Error, Result},
    ids::{BoardId, PostId},
};

/// What is watched.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// A board, for its posts.
    Board(BoardId),
    /// A post, for its comments.
    Post(PostId),
}

/// What one reader waits for.
struct Watch<R> {
    app: App,
    caller: Arc<Caller>,
    place: Place,
    /// The board that the place is or stands on.
    board: BoardId,
    read: R,
    additions: Listener,
    posts: Listener,
    boards: Listener,
    rights: Listener,
}

/// What is added to `place` from now on and as far as `read` finds it for the caller. Nothing is left out in silence: the
/// stream ends with an error when the right to read the place ends, and with `RESYNC_REQUIRED` when additions were missed.
///
/// # Errors
/// `NOT_FOUND` when the caller may not read the place.
pub async fn added<T, R, F>(
    app: App,
    caller: Arc<Caller>,
    place: Place,
    read: R,
) -> Result<impl Stream<Item = Result<T>>>
where
    R: Fn(App, Actor, Uuid) -> F,
    F: Future<Output = Result<T>>,
{
    let (additions, post) = match place {
        Place::Board(board) => (Topic::PostsOf(board.uuid()), Uuid::nil()),
        Place::Post(post) => (Topic::CommentsOf(post.uuid()), post.uuid()),
    };
    // Callers without the right begin no topic.
    check(&app, caller.actor(), place).await?;
    // Once more after listening has begun: what changes after this check is heard.
    let (additions, posts, boards, rights) = (
        app.bus.listen(additions),
        app.bus.listen(Topic::Post(post)),
        app.bus.listen(Topic::Boards),
        app.bus.listen(Topic::Rights),
    );
    let board = check(&app, caller.actor(), place).await?;
    let watch = Watch {
        app,
        caller,
        place,
        board,
        read,
        additions,
        posts,
        boards,
        rights,
    };
    Ok(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(item) => Some((Ok(item), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// The board of a place that the actor may read.
async fn check(app: &App, actor: Actor, place: Place) -> Result<BoardId> {
    match place {
        Place::Board(board) => Ok(boards_store::readable(app, actor, board).await?.id),
        Place::Post(post) => Ok(store::readable(app, actor, post).await?.board_id),
    }
}

impl<T, R, F> Watch<R>
where
    R: Fn(App, Actor, Uuid) -> F,
    F: Future<Output = Result<T>>,
{
    /// What is added next; an error when the right has ended or additions were missed.
    async fn next(&mut self) -> Result<T> {
        loop {
            let may_have_ended = tokio::select! {
                heard = self.additions.next() => match heard {
                    Heard::Message(id) => {
                        match (self.read)(self.app.clone(), self.caller.actor(), id).await {
                            // Not for this reader, or gone again.
                            Err(Error::NotFound) => false,
                            done => return done,
                        }
                    }
                    // Additions are not replayed: clients load the list anew and subscribe again.
                    Heard::Missed => return Err(Error::ResyncRequired),
                },
                _ = self.posts.next() => true,
                heard = self.boards.next() => match heard {
                    Heard::Message(board) => board == self.board.uuid(),
                    Heard::Missed => true,
                },
                heard = self.rights.next() => match heard {
                    Heard::Message(user) => self.caller.actor().id().is_some_and(|id| id.uuid() == user),
                    Heard::Missed => true,
                },
            };
            if may_have_ended {
                self.check_again().await?;
            }
        }
    }

    /// Reads the rights again.
    async fn check_again(&self) -> Result<()> {
        if let Some(signed_in) = self.caller.actor().signed_in() {
            let present = sessions::current(&self.app, signed_in.session).await?;
            self.caller.become_actor(Actor::SignedIn(present));
        }
        check(&self.app, self.caller.actor(), self.place)
            .await
            .map(drop)
    }
}
