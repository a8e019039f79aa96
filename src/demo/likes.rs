//! The likes of the demo.

use std::collections::BTreeMap;

use diesel::prelude::*;

use super::{
    BATCH, Options, number,
    plan::{MEMBERS, Plan},
    rows::insert,
    words::PRIVATE,
};
use crate::{
    app::App,
    clock::Timestamp,
    db::{
        Conn, on,
        tables::{likes, posts},
    },
    error::Result,
    ids::{PostId, UserId},
    random::Random,
};

/// Lets `people` like the planned posts, whose ids are `posts`.
///
/// # Errors
/// Those of the database.
pub(super) async fn fill(
    app: &App,
    options: &Options,
    plan: &Plan,
    people: &[UserId],
    posts: &[PostId],
) -> Result<()> {
    let mut random = Random::new(options.seed, "likes");
    for (batch, ids) in plan.posts.chunks(BATCH).zip(posts.chunks(BATCH)) {
        let mut liked = Vec::new();
        let mut by_count = BTreeMap::<i32, Vec<PostId>>::new();
        for (planned, id) in batch.iter().zip(ids) {
            let readers = if planned.board == PRIVATE {
                MEMBERS
            } else {
                people.len()
            };
            let count = random.skewed(readers.min(8) + 1).min(planned.views);
            // Consecutive people from a random start, so that nobody likes a post twice.
            let first = random.below(readers);
            liked.extend((0..count).map(|n| (*id, people[(first + n) % readers], planned.at)));
            // Posts are inserted without likes.
            if count > 0 {
                by_count.entry(number(count)).or_default().push(*id);
            }
        }
        app.db
            .write(move |conn| {
                for liked in liked.chunks(BATCH) {
                    insert_likes(conn, liked)?;
                }
                for (count, ids) in &by_count {
                    on!(conn, |c| diesel::update(
                        posts::table.filter(posts::id.eq_any(ids))
                    )
                    .set(posts::like_count.eq(count))
                    .execute(c))?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

fn insert_likes(conn: &mut Conn, liked: &[(PostId, UserId, Timestamp)]) -> Result<()> {
    let rows: Vec<_> = liked
        .iter()
        .map(|(post, user, at)| {
            (
                likes::post_id.eq(*post),
                likes::user_id.eq(*user),
                likes::created_at.eq(*at),
            )
        })
        .collect();
    insert!(conn, likes::table, rows);
    Ok(())
}
