//! The bus between servers, through Redis. Every server subscribes to the topics that its own listeners follow, and
//! hands what arrives to them. Its own messages reach its listeners directly, so that they come even without Redis.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    prelude::{ClientState, Value},
    types::Message,
};
use parking_lot::Mutex;
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    mpsc, oneshot,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use uuid::Uuid;

use super::{
    Key,
    memory::{Hub, Told},
};
use crate::{
    error::Result,
    redis::{Redis, UNAVAILABLE, away},
};

/// Without its own heartbeat for this long, a server takes it that messages do not arrive.
pub const SILENCE: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_millis(500);
/// The most messages that wait to be sent.
const OUTGOING: usize = 16 << 10;
/// Messages, or changes of subscriptions, in one round trip.
const BATCH: usize = 256;

/// The other servers. Cheap to clone; its tasks end with the last clone.
#[derive(Clone)]
pub(super) struct Remote {
    line: Arc<Line>,
    outgoing: mpsc::Sender<Outgoing>,
    changes: mpsc::UnboundedSender<Change>,
    _tasks: Arc<DropGuard>,
}

/// What the tasks share.
struct Line {
    redis: Redis,
    hub: Hub,
    /// This server, in its messages.
    server: Uuid,
    /// What is subscribed to, by the name of the channel.
    routes: Mutex<HashMap<String, Route>>,
    /// When the last heartbeat arrived. `None` while subscriptions are not what they should be.
    heard: Mutex<Option<Instant>>,
    /// Messages to other servers were lost, and they have not been told yet.
    owes_notice: AtomicBool,
}

struct Route {
    key: Key,
    /// Redis has confirmed the subscription.
    is_confirmed: bool,
}

enum Outgoing {
    Told(Key, Told),
    Heartbeat,
}

enum Change {
    /// Somebody wants to listen to these and waits for the confirmation.
    Begun(Vec<Key>, oneshot::Sender<Result<()>>),
    /// The last listener has gone.
    Ended(Key),
}

/// Sender, object and number, in this order.
type Payload = [u8; 40];

fn encode(server: Uuid, told: Told) -> Payload {
    let mut payload = [0; 40];
    payload[..16].copy_from_slice(server.as_bytes());
    payload[16..32].copy_from_slice(told.about.as_bytes());
    payload[32..].copy_from_slice(&told.number.to_be_bytes());
    payload
}

fn decode(payload: &[u8]) -> Option<(Uuid, Told)> {
    let payload: &Payload = payload.try_into().ok()?;
    let uuid = |bytes: &[u8]| Uuid::from_slice(bytes).ok();
    let told = Told {
        about: uuid(&payload[16..32])?,
        number: u64::from_be_bytes(payload[32..].try_into().ok()?),
    };
    Some((uuid(&payload[..16])?, told))
}

impl Remote {
    pub(super) async fn open(redis: &Redis, hub: Hub) -> Result<Self> {
        let (outgoing, to_send) = mpsc::channel(OUTGOING);
        let (changes, to_change) = mpsc::unbounded_channel();
        let line = Arc::new(Line {
            redis: redis.clone(),
            hub,
            server: Uuid::new_v4(),
            routes: Mutex::default(),
            heard: Mutex::new(None),
            owes_notice: AtomicBool::new(false),
        });
        let ended = changes.clone();
        line.hub.on_end(move |key| {
            // Fails only while the bus ends.
            let _ = ended.send(Change::Ended(key));
        });
        let messages = redis.subscriber.message_rx();
        let reconnections = redis.subscriber.reconnect_rx();
        line.subscribe_all().await?;

        let (token, tasks) = (CancellationToken::new(), TaskTracker::new());
        let until_dropped = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            tasks.spawn(token.clone().run_until_cancelled_owned(task));
        };
        until_dropped(Box::pin(Arc::clone(&line).send(to_send)));
        until_dropped(Box::pin(Arc::clone(&line).receive(messages)));
        until_dropped(Box::pin(
            Arc::clone(&line).keep_subscribed(to_change, reconnections),
        ));
        until_dropped(Box::pin(beat(outgoing.clone())));
        Ok(Self {
            line,
            outgoing,
            changes,
            _tasks: Arc::new(token.drop_guard()),
        })
    }

    pub(super) fn tell(&self, key: Key, told: Told) {
        if self.outgoing.try_send(Outgoing::Told(key, told)).is_err() {
            self.line.owes_notice.store(true, Ordering::SeqCst);
        }
    }

    /// Waits until Redis has confirmed the subscriptions to these topics, which have listeners here already.
    pub(super) async fn confirm(&self, keys: Vec<Key>) -> Result<()> {
        self.health()?;
        // If the connection is lost right now, its listeners hear that they may have missed messages.
        if self.line.unconfirmed(&keys).is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let begun = Change::Begun(keys, reply);
        self.changes.send(begun).map_err(|_| UNAVAILABLE)?;
        answer.await.map_err(|_| UNAVAILABLE)?
    }

    pub(super) fn health(&self) -> Result<()> {
        let is_connected = self.line.subscriber().state() == ClientState::Connected;
        match *self.line.heard.lock() {
            Some(heard) if is_connected && heard.elapsed() < SILENCE => Ok(()),
            _ => Err(UNAVAILABLE),
        }
    }
}

impl Line {
    fn subscriber(&self) -> &Client {
        &self.redis.subscriber
    }

    fn channel(&self, (name, of): &Key) -> String {
        self.redis.name(&format!("bus:{name}:{}", of.simple()))
    }

    /// Where this server hears its own heartbeats.
    fn own_channel(&self) -> String {
        self.redis
            .name(&format!("bus-heartbeat:{}", self.server.simple()))
    }

    /// Where servers say that messages were lost.
    fn notices(&self) -> String {
        self.redis.name("bus-lost")
    }

    fn unconfirmed(&self, keys: &[Key]) -> Vec<(String, Key)> {
        let routes = self.routes.lock();
        let channels = keys.iter().map(|key| (self.channel(key), *key));
        let is_confirmed =
            |channel: &String| routes.get(channel).is_some_and(|route| route.is_confirmed);
        channels
            .filter(|(channel, _)| !is_confirmed(channel))
            .collect()
    }

    /// Sends messages, those that wait together.
    async fn send(self: Arc<Self>, mut outgoing: mpsc::Receiver<Outgoing>) {
        let mut batch = Vec::with_capacity(BATCH);
        while outgoing.recv_many(&mut batch, BATCH).await > 0 {
            let owes_notice = self.owes_notice.swap(false, Ordering::SeqCst);
            let sent = self.send_batch(&batch, owes_notice).await;
            if sent.is_err() && (owes_notice || batch.iter().any(|o| !o.is_heartbeat())) {
                self.owes_notice.store(true, Ordering::SeqCst);
            }
            batch.clear();
        }
    }

    async fn send_batch(&self, batch: &[Outgoing], owes_notice: bool) -> Result<()> {
        let pipeline = self.redis.connected()?.pipeline();
        for outgoing in batch {
            let (channel, payload) = match outgoing {
                Outgoing::Told(key, told) => (self.channel(key), &encode(self.server, *told)[..]),
                Outgoing::Heartbeat => (self.own_channel(), &[][..]),
            };
            let _: () = pipeline.publish(channel, payload).await.map_err(away)?;
        }
        if owes_notice {
            let server = &self.server.as_bytes()[..];
            let _: () = pipeline
                .publish(self.notices(), server)
                .await
                .map_err(away)?;
        }
        pipeline.all::<Vec<i64>>().await.map(drop).map_err(away)
    }

    /// Hands what arrives to the listeners.
    async fn receive(self: Arc<Self>, mut messages: Receiver<Message>) {
        loop {
            match messages.recv().await {
                Ok(message) => self.deliver(&message),
                Err(RecvError::Lagged(_)) => self.hub.lose(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn deliver(&self, message: &Message) {
        let channel: &str = &message.channel;
        let key = self.routes.lock().get(channel).map(|route| route.key);
        let payload = message.value.as_bytes().unwrap_or_default();
        if let Some(key) = key {
            match decode(payload) {
                Some((server, told)) if server != self.server => self.hub.tell(key, told),
                _ => {}
            }
        } else if channel == self.own_channel() {
            if let Some(heard) = &mut *self.heard.lock() {
                *heard = Instant::now();
            }
        } else if channel == self.notices() && payload != self.server.as_bytes() {
            self.hub.lose();
        }
    }

    /// Subscribes to what is listened to, and only to that, on every new connection as well.
    async fn keep_subscribed(
        self: Arc<Self>,
        mut changes: mpsc::UnboundedReceiver<Change>,
        mut reconnections: Receiver<fred::types::config::Server>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                // One that is missed is followed by another.
                _ = reconnections.recv() => self.begin_anew().await,
                _ = changes.recv_many(&mut batch, BATCH) => self.settle(batch.drain(..)).await,
            }
        }
    }

    /// On a new connection. What was published meanwhile is lost.
    async fn begin_anew(&self) {
        *self.heard.lock() = None;
        while let Err(error) = self.subscribe_all().await {
            if self.subscriber().state() != ClientState::Connected {
                // The next connection begins anew.
                return;
            }
            tracing::warn!(%error, "cannot subscribe");
            tokio::time::sleep(HEARTBEAT).await;
        }
        tracing::info!("messages of other servers arrive again");
        self.hub.lose();
    }

    async fn subscribe_all(&self) -> Result<()> {
        let topics = self.hub.keys().into_iter();
        let topics: HashMap<_, _> = topics.map(|key| (self.channel(&key), key)).collect();
        let mut channels: Vec<_> = topics.keys().cloned().collect();
        channels.extend([self.own_channel(), self.notices()]);
        self.routes.lock().clear();
        self.expect(topics);
        for channels in channels.chunks(BATCH) {
            self.subscribe_to(channels).await?;
        }
        self.confirm(&channels);
        *self.heard.lock() = Some(Instant::now());
        Ok(())
    }

    /// Before the subscription, since messages may overtake its confirmation.
    fn expect(&self, topics: HashMap<String, Key>) {
        let routes = topics.into_iter().map(|(channel, key)| {
            let is_confirmed = false;
            (channel, Route { key, is_confirmed })
        });
        self.routes.lock().extend(routes);
    }

    fn confirm(&self, channels: &[String]) {
        let mut routes = self.routes.lock();
        for channel in channels {
            if let Some(route) = routes.get_mut(channel) {
                route.is_confirmed = true;
            }
        }
    }

    async fn settle(&self, changes: impl Iterator<Item = Change> + Send) {
        let (mut begun, mut waiting, mut ended) = (HashMap::new(), Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Begun(keys, reply) => {
                    begun.extend(self.unconfirmed(&keys));
                    waiting.push(reply);
                }
                Change::Ended(key) => ended.push(key),
            }
        }
        self.unsubscribe(ended).await;
        let done = self.subscribe(begun).await;
        for reply in waiting {
            // Whoever is gone has ended the topic, too.
            let _ = reply.send(done.clone());
        }
    }

    async fn subscribe(&self, begun: HashMap<String, Key>) -> Result<()> {
        if begun.is_empty() {
            return Ok(());
        }
        let channels: Vec<_> = begun.keys().cloned().collect();
        self.expect(begun);
        self.subscribe_to(&channels).await?;
        self.confirm(&channels);
        Ok(())
    }

    /// Returns once Redis has subscribed to them. The library returns as soon as the command is on its way, hence the
    /// command after it, which Redis answers afterwards.
    async fn subscribe_to(&self, channels: &[String]) -> Result<()> {
        let subscribed = self.subscriber().subscribe(channels.to_vec()).await;
        subscribed.map_err(away)?;
        let answered: Value = self.subscriber().ping(None).await.map_err(away)?;
        drop(answered);
        Ok(())
    }

    async fn unsubscribe(&self, ended: Vec<Key>) {
        let channels: Vec<_> = {
            let mut routes = self.routes.lock();
            let ended = ended.into_iter().filter(|key| !self.hub.has(key));
            let channels = ended.map(|key| self.channel(&key));
            channels.filter(|c| routes.remove(c).is_some()).collect()
        };
        if !channels.is_empty()
            && let Err(error) = self.subscriber().unsubscribe(channels).await
        {
            // Messages of topics without listeners are dropped.
            tracing::debug!(%error, "cannot unsubscribe");
        }
    }
}

impl Outgoing {
    fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Heartbeat)
    }
}

/// Sends heartbeats through the same queue and connection as messages.
async fn beat(outgoing: mpsc::Sender<Outgoing>) {
    loop {
        // In a full queue there is enough to send.
        let _ = outgoing.try_send(Outgoing::Heartbeat);
        tokio::time::sleep(HEARTBEAT).await;
    }
}
