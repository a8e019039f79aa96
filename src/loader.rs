//! Batches: what the items of a list load one by one is read with one statement.
//!
//! All fields of one level are polled before any of them is polled again. So a field adds its key and waits for the
//! next [round](crate::rounds). By then all its siblings have added theirs, and the first field reads for all. The
//! library's own `DataLoader` waits a millisecond and spawns a task instead.

use std::{any::TypeId, collections::HashMap, hash::Hash, sync::Arc};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    access::Actor, app::App, by_type::ByType, error::Result, memory::Memory, rounds::Rounds,
};

/// Values that are read for many keys at once.
pub trait Batch: Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    type Value: Clone + Send + Sync + 'static;
    /// Whether the values are cached for other requests until the next commit. They must not depend on the actor.
    const IS_KEPT: bool = false;

    /// The values of `keys` that `actor` may read. Other keys are left out.
    fn load(
        app: &App,
        actor: Actor,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>>> + Send;
}

/// The batches of one request.
#[derive(Default)]
pub struct Loaders {
    /// The rounds in which the response is built.
    pub rounds: Rounds,
    memory: Arc<Memory>,
    gatherings: ByType,
}

/// The keys that have been added since the last read.
struct Gathering<B: Batch>(Mutex<Waiting<B>>);

impl<B: Batch> Default for Gathering<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<B: Batch> Gathering<B> {
    /// Waits until a round adds no new key: of a long list, the library may poll only a part at a time.
    async fn settled(&self, rounds: &Rounds) {
        let mut noted = 0;
        loop {
            let before = noted;
            rounds.next().await;
            noted = self.0.lock().len();
            if noted == 0 || noted == before {
                return;
            }
        }
    }
}

type Reply<B> = oneshot::Sender<Result<Option<<B as Batch>::Value>>>;
type Waiting<B> = HashMap<<B as Batch>::Key, Vec<Reply<B>>>;

impl Loaders {
    /// Loaders with a shared cache.
    #[must_use]
    pub fn with(memory: Arc<Memory>) -> Self {
        Self {
            memory,
            ..Self::default()
        }
    }

    /// The value of `key`, read together with the other keys of this round.
    ///
    /// # Errors
    /// Those of [`Batch::load`], to all who asked.
    pub async fn load<B: Batch>(
        &self,
        app: &App,
        actor: Actor,
        key: B::Key,
    ) -> Result<Option<B::Value>> {
        let batch_type = TypeId::of::<B>();
        let version = || app.db.version().filter(|_| B::IS_KEPT);
        if let Some(value) = version().and_then(|now| self.memory.recall(batch_type, now, &key)) {
            return Ok(Some(value));
        }
        let gathering = self.gatherings.of::<Gathering<B>>(batch_type);
        loop {
            let (reply, answer) = oneshot::channel();
            gathering
                .0
                .lock()
                .entry(key.clone())
                .or_default()
                .push(reply);
            gathering.settled(&self.rounds).await;

            let batch = std::mem::take(&mut *gathering.0.lock());
            if !batch.is_empty() {
                // Boxed, since only one of many futures gets here.
                let (version, keys) = (version(), batch.keys().cloned().collect());
                let loaded = B::load(app, actor, keys).boxed().await;
                if let (Some(version), Ok(values)) = (version, &loaded) {
                    self.memory.keep(batch_type, version, values);
                }
                hand_out::<B>(batch, loaded);
            }
            // Outside of tokio's cooperative budget. With it, if more than 128 answers come at once, the last ones
            // would wait for another round, and the keys below them would go into separate batches. An error means that
            // the field which read for all was dropped: try again.
            if let Ok(answer) = tokio::task::unconstrained(answer).await {
                return answer;
            }
        }
    }
}

fn hand_out<B: Batch>(batch: Waiting<B>, mut loaded: Result<HashMap<B::Key, B::Value>>) {
    for (key, mut replies) in batch {
        let answer = match &mut loaded {
            Ok(values) => Ok(values.remove(&key)),
            Err(error) => Err(error.clone()),
        };
        let last = replies.pop();
        for reply in replies {
            // Fails if the field that waited was dropped.
            let _ = reply.send(answer.clone());
        }
        if let Some(last) = last {
            let _ = last.send(answer);
        }
    }
}
