//! The cache that all servers share. Each operation is one command or one script, so that it happens in one step.

use std::{collections::HashMap, time::Duration};

use fred::{
    clients::Client,
    interfaces::{HashesInterface, KeysInterface, LuaInterface},
    types::{Expiration, FromValue, MultipleValues, SetOptions, Value},
};

use crate::{
    error::Result,
    redis::{Redis, away},
};

/// Adds one; the window begins with the first count. Answers the count and what is left of the window.
const COUNT: &str = "local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}";
const TAKE_TALLY: &str = "local all = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
return all";
/// A member's score is when it stops to belong to the set.
const ENROL: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for n = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[n]) end
return redis.call('PEXPIRE', KEYS[1], math.max(ARGV[1], redis.call('PTTL', KEYS[1])))";
const MEMBERS: &str = "local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')";
/// The most members in one command.
const ENROLLED: usize = 1_000;
/// The lock's value is its fence, which comes from a counter that does not expire.
const LOCK: &str = "if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local fence = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], fence, 'PX', ARGV[1])
return fence";
const RENEW: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";
const UNLOCK: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

pub(super) struct Remote {
    redis: Redis,
}

impl Remote {
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis }
    }

    fn client(&self) -> Result<&Client> {
        self.redis.connected()
    }

    fn key(&self, key: &str) -> String {
        self.redis.name(&format!("cache:{key}"))
    }

    async fn run<T: FromValue>(
        &self,
        script: &'static str,
        keys: Vec<String>,
        arguments: impl TryInto<MultipleValues, Error = impl Into<fred::error::Error> + Send> + Send,
    ) -> Result<T> {
        let done = self.client()?.eval(script, keys, arguments).await;
        done.map_err(away)
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.client()?.get(self.key(key)).await.map_err(away)
    }

    pub(super) async fn put(&self, key: &str, value: Vec<u8>, lifetime: Duration) -> Result<()> {
        self.set(key, value, lifetime, None).await.map(drop)
    }

    async fn set(
        &self,
        key: &str,
        value: Vec<u8>,
        lifetime: Duration,
        options: Option<SetOptions>,
    ) -> Result<Option<String>> {
        let expiration = Some(Expiration::PX(millis(lifetime)));
        let value = Value::Bytes(value.into());
        self.client()?
            .set(self.key(key), value, expiration, options, false)
            .await
            .map_err(away)
    }

    pub(super) async fn take(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.client()?.getdel(self.key(key)).await.map_err(away)
    }

    pub(super) async fn count(&self, key: &str, window: Duration) -> Result<(u64, Duration)> {
        let (count, left): (u64, u64) =
            self.run(COUNT, vec![self.key(key)], millis(window)).await?;
        Ok((count, Duration::from_millis(left)))
    }

    pub(super) async fn claim(&self, key: &str, lifetime: Duration) -> Result<bool> {
        let done = self
            .set(key, vec![1], lifetime, Some(SetOptions::NX))
            .await?;
        Ok(done.is_some())
    }

    pub(super) async fn tally(&self, family: &'static str, member: &str, by: u64) -> Result<()> {
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        let key = self.key(family);
        self.client()?
            .hincrby::<(), _, _>(key, member, by)
            .await
            .map_err(away)
    }

    pub(super) async fn take_tally(&self, family: &'static str) -> Result<HashMap<String, u64>> {
        let none: Vec<Value> = Vec::new();
        self.run(TAKE_TALLY, vec![self.key(family)], none).await
    }

    pub(super) async fn enrol(
        &self,
        set: &str,
        members: &[String],
        lifetime: Duration,
    ) -> Result<()> {
        for members in members.chunks(ENROLLED) {
            let lifetime = std::iter::once(millis(lifetime).to_string());
            let arguments: Vec<_> = lifetime.chain(members.iter().cloned()).collect();
            self.run::<i64>(ENROL, vec![self.key(set)], arguments)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn members(&self, set: &str) -> Result<Vec<String>> {
        let none: Vec<Value> = Vec::new();
        self.run(MEMBERS, vec![self.key(set)], none).await
    }

    pub(super) async fn lock(&self, name: &str, lease: Duration) -> Result<Option<u64>> {
        let keys = vec![self.lock_key(name), self.key(&format!("fence:{name}"))];
        self.run(LOCK, keys, millis(lease)).await
    }

    fn lock_key(&self, name: &str) -> String {
        self.key(&format!("lock:{name}"))
    }

    pub(super) async fn renew(&self, name: &str, fence: u64, lease: Duration) -> Result<bool> {
        let arguments = vec![fence.to_string(), millis(lease).to_string()];
        self.run(RENEW, vec![self.lock_key(name)], arguments).await
    }

    pub(super) async fn unlock(&self, name: &str, fence: u64) -> Result<bool> {
        self.run(UNLOCK, vec![self.lock_key(name)], fence.to_string())
            .await
    }
}

/// At least one, since Redis takes no less.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}
