//! Live fields: each subscription reads news and watches over its right to do so. A live field is a [`Live`]: it says
//! what it follows, what its right depends on, and how news are read. Messages of the bus are only hints; subscribers
//! get what the store returns.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use uuid::Uuid;

use crate::{
    access::{Actor, Caller, rights_changed_of},
    app::App,
    bus::{Heard, Listener, Message, Topic},
    error::{Error, Result},
};

/// What a live field follows.
pub trait Live: Send + Sync + 'static {
    /// What it brings.
    type Item: Send + 'static;
    /// What news name.
    type Id: Message;

    /// Where its news are told.
    fn news(&self) -> Topic<Self::Id>;

    /// Checks that `actor` may follow it. Returns the topics that announce when this may have changed. The rights of
    /// the user are watched in any case.
    ///
    /// # Errors
    /// `NOT_FOUND` when the actor may not.
    fn check(
        &self,
        app: &App,
        actor: Actor,
    ) -> impl Future<Output = Result<Vec<Topic<Uuid>>>> + Send;

    /// Reads the object `id`, if `actor` may read it.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is gone or `actor` may not read it.
    fn read(
        &self,
        app: &App,
        actor: Actor,
        id: Self::Id,
    ) -> impl Future<Output = Result<Self::Item>> + Send;
}

/// The state of one subscription.
struct Watch<L: Live> {
    app: App,
    caller: Arc<Caller>,
    live: L,
    news: Listener<L::Id>,
    /// After each message the right is checked again.
    changes: Listener<Uuid>,
}

/// The events of `live` from now on that the caller may read. Nothing is dropped silently: the stream ends with an
/// error when the caller loses the right, and with `RESYNC_REQUIRED` when news were missed.
///
/// # Errors
/// `NOT_FOUND` when the caller may not follow it; `UNAVAILABLE` when the bus does not work.
pub async fn follow<L: Live>(
    app: App,
    caller: Arc<Caller>,
    live: L,
) -> Result<impl Stream<Item = Result<L::Item>> + use<L>> {
    // First without listening, so that callers without the right create no topics.
    let mut topics = live.check(&app, caller.actor()).await?;
    topics.extend(
        caller
            .actor()
            .id()
            .map(|user| rights_changed_of(user).untyped()),
    );
    let watch = Watch {
        news: app.bus.listen(&[live.news()]).await?,
        changes: app.bus.listen(&topics).await?,
        app,
        caller,
        live,
    };
    // Again now that it listens, so that no change is missed.
    watch.check_again(Heard::Missed).await?;
    Ok(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(item) => Some((Ok(item), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl<L: Live> Watch<L> {
    /// The next event, or an error when the right has ended or news were missed.
    async fn next(&mut self) -> Result<L::Item> {
        loop {
            let news = tokio::select! {
                biased;
                heard = self.changes.next() => {
                    self.check_again(heard).await?;
                    continue;
                }
                heard = self.news.next() => heard,
            };
            let Heard::News(news) = news else {
                // News are not replayed: clients reload the data and subscribe again.
                return Err(Error::ResyncRequired);
            };
            match self
                .live
                .read(&self.app, self.caller.actor(), news.about)
                .await
            {
                // The subscriber may not read it, or it is gone.
                Err(Error::NotFound) => {}
                read => return read,
            }
        }
    }

    /// Reads the rights again after a message.
    async fn check_again(&self, heard: Heard<Uuid>) -> Result<()> {
        renew_rights(&self.app, &self.caller, Some(heard)).await?;
        self.live
            .check(&self.app, self.caller.actor())
            .await
            .map(drop)
    }
}

/// A state that is followed until it is final.
pub trait State: Send + Sync + 'static {
    /// What it is a state of.
    type Item: PartialEq + Clone + Send + 'static;

    /// Where changes are told.
    fn topics(&self) -> Vec<Topic<Uuid>>;

    /// The present state, if `actor` may read it.
    ///
    /// # Errors
    /// `NOT_FOUND` when it is gone or `actor` may not read it.
    fn read(&self, app: &App, actor: Actor) -> impl Future<Output = Result<Self::Item>> + Send;

    /// Whether nothing follows.
    fn is_last(&self, item: &Self::Item) -> bool;
}

/// After this time a state is read again though nothing was heard: a worker in a process of its own cannot tell this one
/// without Redis.
const LOOK: Duration = Duration::from_secs(5);

/// What is left of the subscription to a state.
struct StateWatch<S: State> {
    app: App,
    caller: Arc<Caller>,
    state: S,
    changes: Listener<Uuid>,
    last: Option<S::Item>,
}

/// The present state, then each one that it comes to, up to the last. It does not matter if messages are lost or several
/// changes come at once: the latest state is read. The stream ends with an error when the caller loses the right.
///
/// # Errors
/// `UNAVAILABLE` when the bus does not work.
pub async fn follow_state<S: State>(
    app: App,
    caller: Arc<Caller>,
    state: S,
) -> Result<impl Stream<Item = Result<S::Item>> + use<S>> {
    let mut topics = state.topics();
    let user = caller.actor().id();
    topics.extend(user.map(|user| rights_changed_of(user).untyped()));
    let watch = StateWatch {
        changes: app.bus.listen(&topics).await?,
        app,
        caller,
        state,
        last: None,
    };
    Ok(stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(item) if watch.state.is_last(&item) => Some((Ok(item), None)),
            Ok(item) => Some((Ok(item), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl<S: State> StateWatch<S> {
    /// The next state that differs from the last one.
    async fn next(&mut self) -> Result<S::Item> {
        loop {
            let mut heard = None;
            if self.last.is_some() {
                let hearing = tokio::time::timeout(LOOK, self.changes.next());
                heard = hearing.await.ok();
            }
            renew_rights(&self.app, &self.caller, heard).await?;
            let item = self.state.read(&self.app, self.caller.actor()).await?;
            if self.last.as_ref() != Some(&item) {
                self.last = Some(item.clone());
                return Ok(item);
            }
        }
    }
}

/// Reads the rights of the caller again. What is cached counts no more if `heard` may be about them: this message may have
/// come before the one that clears the cache.
async fn renew_rights(app: &App, caller: &Caller, heard: Option<Heard<Uuid>>) -> Result<()> {
    let Some(signed_in) = caller.actor().signed_in().copied() else {
        return Ok(());
    };
    let may_be_about_them = match heard {
        None => false,
        Some(Heard::Missed) => true,
        Some(Heard::News(news)) => news.topic == rights_changed_of(signed_in.id).untyped(),
    };
    if may_be_about_them {
        app.rights.forget_session(signed_in.session);
    }
    let present = app.rights.of(signed_in.session).await?;
    caller.become_actor(Actor::SignedIn(present));
    Ok(())
}
