//! Files that users are sending, which are not kept yet: how many bytes at once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    error::{Error, Result},
    ids::UserId,
};

/// The uploads of this server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Uploads(Arc<Mutex<HashMap<UserId, u64>>>);

/// The files of one request. They count until this is dropped.
pub struct Uploading {
    all: Uploads,
    user: UserId,
    bytes: u64,
    most: u64,
}

impl Uploads {
    /// Begins an upload of `user`, who may send `most` bytes at once, in all requests together.
    #[must_use]
    pub fn begin(&self, user: UserId, most: u64) -> Uploading {
        Uploading {
            all: self.clone(),
            user,
            bytes: 0,
            most,
        }
    }
}

impl Uploading {
    /// Counts bytes that have come.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` when these are too many.
    pub fn add(&mut self, bytes: u64) -> Result<()> {
        let mut all = self.all.0.lock();
        let now = all.entry(self.user).or_default();
        *now += bytes;
        self.bytes += bytes;
        if *now > self.most {
            return Err(Error::LimitExceeded {
                what: "bytes of files",
                limit: self.most,
            });
        }
        Ok(())
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if let Some(now) = all.get_mut(&self.user) {
            *now -= self.bytes;
            if *now == 0 {
                all.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_uploads_of_a_user_are_counted_together_until_they_end() {
        let (all, user) = (Uploads::default(), UserId::from_uuid(Uuid::from_u128(7)));
        let (mut one, mut other) = (all.begin(user, 10), all.begin(user, 10));

        assert!(one.add(6).is_ok() && other.add(4).is_ok());
        assert!(other.add(1).is_err());
        drop(other);
        assert!(one.add(4).is_ok());
        let mut foreign = all.begin(UserId::from_uuid(Uuid::from_u128(8)), 10);
        assert!(foreign.add(10).is_ok() && one.add(1).is_err());
        drop((one, foreign));
        assert!(all.0.lock().is_empty());
    }
}
