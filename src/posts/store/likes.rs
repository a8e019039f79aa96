//! Likes and their number on each post, which is exact even when many users like a post at once.

use std::collections::HashMap;

use diesel::prelude::*;

use super::readable_in;
use crate::{
    access::{self, Actor, SignedIn},
    app::App,
    db::{
        Conn,
        dialect::{self, Lockable},
        lists, on,
        tables::{likes, posts},
    },
    error::Result,
    ids::{PostId, UserId},
    loader::Batch,
    posts::Post,
};

/// Which of the posts the actor likes.
pub struct LikedByActor;

impl Batch for LikedByActor {
    type Key = PostId;
    type Value = ();

    async fn load(app: &App, actor: Actor, ids: Vec<PostId>) -> Result<HashMap<PostId, ()>> {
        let Some(user) = actor.id() else {
            return Ok(HashMap::new());
        };
        app.db
            .read(move |conn| {
                let liked: Vec<PostId> = on!(conn, |c| likes::table
                    .filter(
                        likes::user_id
                            .eq(user)
                            .and(lists::among(likes::post_id, ids.iter().copied()))
                    )
                    .select(likes::post_id)
                    .load(c))?;
                Ok(liked.into_iter().map(|post| (post, ())).collect())
            })
            .await
    }
}

/// Likes a post. Liking it again changes nothing.
///
/// # Errors
/// `NOT_FOUND` when it does not exist or `actor` may not read it.
pub async fn like(app: &App, actor: &SignedIn, id: PostId) -> Result<Post> {
    let (user, now) = (actor.id, app.clock.now());
    change(app, actor, id, move |conn| {
        let row = (
            likes::post_id.eq(id),
            likes::user_id.eq(user),
            likes::created_at.eq(now),
        );
        let added = on!(conn, |c| diesel::insert_or_ignore_into(likes::table)
            .values(row)
            .execute(c))?;
        Ok(i32::from(added > 0))
    })
    .await
}

/// Removes your like from a post, if there is one.
///
/// # Errors
/// As [`like`].
pub async fn unlike(app: &App, actor: &SignedIn, id: PostId) -> Result<Post> {
    let user = actor.id;
    change(app, actor, id, move |conn| {
        let removed = on!(conn, |c| diesel::delete(likes::table.find((id, user)))
            .execute(c))?;
        Ok(-i32::from(removed > 0))
    })
    .await
}

/// Runs `work`, which changes the likes of a post, and adds the number that it returns to the post's like count.
async fn change(
    app: &App,
    actor: &SignedIn,
    id: PostId,
    work: impl Fn(&mut Conn) -> Result<i32> + Send + 'static,
) -> Result<Post> {
    let actor = Actor::SignedIn(*actor);
    app.db
        .write(move |conn| {
            // Locked before the like is written: MySQL takes a shared lock on the post's row for the foreign key, and
            // two users who like it at once would deadlock.
            dialect::lock(conn, Lockable::Posts, id)?;
            let mut post = readable_in(conn, &actor, id)?;
            // An account that is deleted at the same time has its likes taken back, which must not miss this one.
            access::lock_user(conn, &actor)?;
            let change = work(conn)?;
            if change != 0 {
                on!(conn, |c| diesel::update(posts::table.find(id))
                    .set(posts::like_count.eq(posts::like_count + change))
                    .execute(c))?;
                post.like_count += change;
            }
            Ok(post)
        })
        .await
}

/// The number of likes that one transaction removes.
const BATCH: i64 = 1_000;

/// How many likes `user` has given.
///
/// # Errors
/// Those of the database.
pub fn count_of(conn: &mut Conn, user: UserId) -> Result<i64> {
    Ok(on!(conn, |c| likes::table
        .filter(likes::user_id.eq(user))
        .count()
        .get_result(c))?)
}

/// Removes some likes of a deleted account together with their counts, and returns how many: 0 when none are left.
///
/// # Errors
/// Those of the database.
pub fn take_back_some(conn: &mut Conn, user: UserId) -> Result<i64> {
    let liked: Vec<PostId> = on!(conn, |c| likes::table
        .filter(likes::user_id.eq(user))
        .select(likes::post_id)
        .order(likes::post_id)
        .limit(BATCH)
        .load(c))?;
    if liked.is_empty() {
        return Ok(0);
    }
    on!(conn, |c| diesel::update(
        posts::table.filter(posts::id.eq_any(&liked))
    )
    .set(posts::like_count.eq(posts::like_count - 1))
    .execute(c))?;
    let taken = on!(conn, |c| diesel::delete(
        likes::table.filter(likes::user_id.eq(user).and(likes::post_id.eq_any(&liked)))
    )
    .execute(c))?;
    Ok(i64::try_from(taken).unwrap_or(i64::MAX))
}
