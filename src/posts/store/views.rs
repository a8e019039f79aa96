//! Views: one per reader, post and hour. They are counted in the cache and written in batches, so that reading never
//! waits for a write. A crash loses at most one batch.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use diesel::prelude::*;

use crate::{
    access::Caller,
    app::App,
    db::{on, tables::posts},
    error::Result,
    ids::PostId,
};

/// The time after which a reader's next view of the same post counts.
const HOUR: Duration = Duration::from_secs(3_600);
/// The most anonymous readers of one post per address and hour: an address can pretend to be several by changing its
/// user agent.
const READERS: u64 = 30;
/// The most views that anonymous readers of one address claim in an hour, whatever they read and pretend to be.
const VIEWS: u64 = 3_600;
/// The name of the tallies in the cache.
const FAMILY: &str = "views";
/// Posts that one statement adds views to.
const BATCH: usize = 500;

/// Counts a view of `post` by the caller. If counting fails, the view is lost, but reading goes on.
pub async fn count(app: &App, caller: &Caller, post: PostId) {
    if let Err(error) = try_count(app, caller, post).await {
        tracing::warn!(%error, "a view was not counted");
    }
}

async fn try_count(app: &App, caller: &Caller, post: PostId) -> Result<()> {
    let is_anonymous = caller.actor().id().is_none();
    let network = caller.client.network();
    if is_anonymous {
        let views = format!("views:{network}");
        if app.cache.count(&views, HOUR).await?.0 > VIEWS {
            return Ok(());
        }
    }
    let mark = format!("view:{post}:{}", reader(app, caller));
    if app.cache.claim(&mark, HOUR).await? {
        if is_anonymous {
            let readers = format!("readers:{post}:{network}");
            if app.cache.count(&readers, HOUR).await?.0 > READERS {
                return Ok(());
            }
        }
        app.cache.tally(FAMILY, &post.to_string(), 1).await?;
    }
    Ok(())
}

/// Identifies the reader: the user, or a keyed hash of address and user agent, which cannot be reversed.
fn reader(app: &App, caller: &Caller) -> String {
    if let Some(user) = caller.actor().id() {
        return user.to_string();
    }
    let client = &caller.client;
    let agent = client.user_agent.as_deref().unwrap_or_default();
    let address = client.address.to_string();
    let key = &app.keys.anonymous_readers;
    BASE64_URL_SAFE_NO_PAD.encode(key.hash(&[address.as_bytes(), agent.as_bytes()]))
}

/// Writes the views since the last flush to the database. Views that cannot be written are kept for the next flush.
///
/// # Errors
/// Those of the database and of the cache.
pub async fn flush(app: &App) -> Result<()> {
    let mut by_number = BTreeMap::<u64, Vec<PostId>>::new();
    for (post, number) in app.cache.take_tally(FAMILY).await? {
        if let Ok(post) = PostId::parse(&post) {
            by_number.entry(number).or_default().push(post);
        }
    }
    for (number, mut seen) in by_number {
        // In the same order everywhere, so that two servers that write at once cannot deadlock.
        seen.sort_unstable();
        for batch in seen.chunks(BATCH) {
            if let Err(error) = add(app, batch.to_vec(), number).await {
                for post in batch {
                    app.cache.tally(FAMILY, &post.to_string(), number).await?;
                }
                tracing::warn!(%error, "views could not be written, and are kept");
            }
        }
    }
    Ok(())
}

async fn add(app: &App, seen: Vec<PostId>, number: u64) -> Result<()> {
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    app.db
        .write(move |conn| {
            on!(conn, |c| diesel::update(
                posts::table.filter(posts::id.eq_any(&seen))
            )
            .set(posts::view_count.eq(posts::view_count + number))
            .execute(c))?;
            Ok(())
        })
        .await
}
