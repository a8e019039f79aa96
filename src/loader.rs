//! Batches: what the items of a list ask for one by one is read with one statement.
//!
//! All fields of one level are polled before any of them is polled again. So a field notes its key, waits for the next
//! [round](crate::rounds), and by then all its siblings have noted theirs: whoever comes first reads for all. The library's
//! own `DataLoader` waits a millisecond and spawns a task for the same.

use std::{any::TypeId, collections::HashMap, hash::Hash, sync::Arc};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    access::Actor, app::App, by_type::ByType, error::Result, memory::Memory, rounds::Rounds,
};

/// Something that is read for many keys at once.
pub trait Batch: Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Send + Sync + 'static;
    type Value: Clone + Send + Sync + 'static;
    /// Whether other requests may have the values too, until something is committed. The actor must make no difference.
    const IS_KEPT: bool = false;

    /// What `actor` may have of `keys`. Keys that lead to nothing are left out.
    fn load(
        app: &App,
        actor: Actor,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>>> + Send;
}

/// The batches of one request.
#[derive(Default)]
pub struct Loaders {
    /// What the answer is to be made in.
    pub rounds: Rounds,
    memory: Arc<Memory>,
    gatherings: ByType,
}

/// What gathers until it is read.
struct Gathering<B: Batch>(Mutex<Waiting<B>>);

impl<B: Batch> Default for Gathering<B> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<B: Batch> Gathering<B> {
    /// Lets rounds pass until one brings nothing new: of a long list the library may poll only a part at a time.
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
    /// Loaders that share what they keep.
    #[must_use]
    pub fn with(memory: Arc<Memory>) -> Self {
        Self {
            memory,
            ..Self::default()
        }
    }

    /// The value of `key`, read together with what else is asked for in this round.
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
                // In a box, for one of many futures gets here.
                let (version, keys) = (version(), batch.keys().cloned().collect());
                let loaded = B::load(app, actor, keys).boxed().await;
                if let (Some(version), Ok(values)) = (version, &loaded) {
                    self.memory.keep(batch_type, version, values);
                }
                hand_out::<B>(batch, loaded);
            }
            // Outside of tokio's budget: with it, of more than 128 answers that come at once the last ones would wait
            // for another round, and what is asked for below them would go into batches of its own.
            // An error means that the field which read for all was dropped meanwhile: ask again.
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
            // Who does not listen any more was dropped with its field.
            let _ = reply.send(answer.clone());
        }
        if let Some(last) = last {
            let _ = last.send(answer);
        }
    }
}
