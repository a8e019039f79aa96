//! A subscription's watch over its right. Every live field is a [`Live`]: it says what it follows, upon what the right to
//! follow it depends, and how news are read. News from the bus are hints; what a subscriber gets comes from the store.

use std::sync::Arc;

use futures_util::{FutureExt, Stream, future::select_all, stream};
use uuid::Uuid;

use crate::{
    access::{Actor, Caller, rights_changed_of},
    app::App,
    bus::{Heard, Listener, Message, Topic},
    error::{Error, Result},
    ids::UserId,
};

/// What a live field follows.
pub trait Live: Send + Sync + 'static {
    /// What it brings.
    type Item: Send + 'static;
    /// What news name.
    type Id: Message;

    /// Where its news are told.
    fn news(&self) -> Topic<Self::Id>;

    /// Makes sure that `actor` may follow it. Answers the topics that tell when this may have changed, rights of the user
    /// apart.
    ///
    /// # Errors
    /// `NOT_FOUND` for an actor who may not.
    fn check(
        &self,
        app: &App,
        actor: Actor,
    ) -> impl Future<Output = Result<Vec<Topic<Uuid>>>> + Send;

    /// Reads what `id` names, as far as `actor` may.
    ///
    /// # Errors
    /// `NOT_FOUND` for what is gone, or not for `actor`.
    fn read(
        &self,
        app: &App,
        actor: Actor,
        id: Self::Id,
    ) -> impl Future<Output = Result<Self::Item>> + Send;
}

/// What one subscriber waits for.
struct Watch<L: Live> {
    app: App,
    caller: Arc<Caller>,
    live: L,
    news: Listener<L::Id>,
    /// Upon each message the right is checked again.
    changes: Vec<Listener<Uuid>>,
    /// Rights of the user who is signed in.
    rights: Option<Listener<UserId>>,
}

/// What happens from now on to what `live` follows, as far as the caller may read it. Nothing is left out in silence: the
/// stream ends with an error when the right ends, and with `RESYNC_REQUIRED` when news were missed.
///
/// # Errors
/// `NOT_FOUND` when the caller may not follow it.
pub async fn follow<L: Live>(
    app: App,
    caller: Arc<Caller>,
    live: L,
) -> Result<impl Stream<Item = Result<L::Item>> + use<L>> {
    // Callers without the right begin no topic.
    let topics = live.check(&app, caller.actor()).await?;
    let user = caller.actor().id();
    let watch = Watch {
        news: app.bus.listen(&live.news()),
        changes: topics.iter().map(|topic| app.bus.listen(topic)).collect(),
        rights: user.map(|user| app.bus.listen(&rights_changed_of(user))),
        app,
        caller,
        live,
    };
    // Once more now that it listens: what changes after this check is heard.
    watch.check_again().await?;
    Ok(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(item) => Some((Ok(item), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl<L: Live> Watch<L> {
    /// What comes next; an error when the right has ended or news were missed.
    async fn next(&mut self) -> Result<L::Item> {
        loop {
            let news = tokio::select! {
                heard = self.news.next() => heard,
                () = any(&mut self.changes) => {
                    self.check_again().await?;
                    continue;
                }
                () = any(self.rights.as_mut_slice()) => {
                    self.check_again().await?;
                    continue;
                }
            };
            let Heard::Message(id) = news else {
                // News are not replayed: clients load anew and subscribe again.
                return Err(Error::ResyncRequired);
            };
            match self.live.read(&self.app, self.caller.actor(), id).await {
                // Not for this subscriber, or gone again.
                Err(Error::NotFound) => {}
                read => return read,
            }
        }
    }

    /// Reads the rights again.
    async fn check_again(&self) -> Result<()> {
        if let Some(signed_in) = self.caller.actor().signed_in() {
            let present = self.app.rights.of(signed_in.session).await?;
            self.caller.become_actor(Actor::SignedIn(present));
        }
        self.live
            .check(&self.app, self.caller.actor())
            .await
            .map(drop)
    }
}

/// Waits for a message to any of `listeners`.
async fn any<M: Message>(listeners: &mut [Listener<M>]) {
    if listeners.is_empty() {
        return std::future::pending().await;
    }
    select_all(listeners.iter_mut().map(|listener| listener.next().boxed())).await;
}
