//! The plan of the demo: users, posts, comments and their times, all derived from the seed.

use std::time::Duration;

use super::{
    Options,
    words::{PRIVATE, THEMES},
};
use crate::{clock::Timestamp, random::Random};

/// The end of the demo's time: 2025-01-01T00:00:00Z. Everything happens in the half year before.
pub(super) const END: Timestamp = Timestamp::from_micros(1_735_689_600_000_000);
const HALF_A_YEAR: Duration = Duration::from_secs(182 * 86_400);
/// The part of that time in which posts are created, so that there is time left for comments.
const POSTING: Duration = Duration::from_secs(170 * 86_400);
/// The number of users, from the first, who may enter the private board.
pub(super) const MEMBERS: usize = 5;
/// The first moment.
pub(super) fn beginning() -> Timestamp {
    END.before(HALF_A_YEAR)
}

/// A planned post, with the counters of its row.
#[derive(Clone, Debug)]
pub(super) struct PlannedPost {
    pub board: usize,
    pub author: usize,
    pub at: Timestamp,
    pub is_visible: bool,
    pub was_changed: bool,
    pub views: usize,
    pub visible_comments: usize,
}

/// A comment to be.
#[derive(Clone, Debug)]
pub(super) struct PlannedComment {
    pub post: usize,
    pub author: usize,
    pub at: Timestamp,
    pub is_visible: bool,
}

pub(super) struct Plan {
    pub users: usize,
    pub posts: Vec<PlannedPost>,
    /// Ordered by time.
    pub comments: Vec<PlannedComment>,
}

impl Plan {
    pub fn new(options: &Options) -> Self {
        let users = (20 + options.posts / 50).min(500);
        let mut posts = posts(options, users);
        let comments = comments(options, users, &mut posts);
        Self {
            users,
            posts,
            comments,
        }
    }
}

fn posts(options: &Options, users: usize) -> Vec<PlannedPost> {
    let mut random = Random::new(options.seed, "posts");
    // At a random time in its own slot, with a millisecond between slots, so that ids are ordered by time.
    let part = POSTING.as_micros() as usize / options.posts.max(1);
    (0..options.posts)
        .map(|n| {
            let micros = n * part + random.below(part.saturating_sub(1_000).max(1));
            let at = beginning().after(Duration::from_micros(micros as u64));
            let board = if random.percent(3) {
                PRIVATE
            } else {
                random.below(PRIVATE)
            };
            PlannedPost {
                board,
                author: author(&mut random, board, users),
                at,
                is_visible: !random.percent(2),
                was_changed: random.percent(8),
                views: random.skewed(200),
                visible_comments: 0,
            }
        })
        .collect()
}

fn comments(options: &Options, users: usize, posts: &mut [PlannedPost]) -> Vec<PlannedComment> {
    if posts.is_empty() {
        return Vec::new();
    }
    let mut random = Random::new(options.seed, "comments");
    let days = Duration::from_secs(5 * 86_400).as_micros() as usize;
    let mut comments: Vec<_> = (0..options.comments)
        .map(|_| {
            // A quarter of them go to the most popular board.
            let post = if random.percent(25) {
                random.skewed(posts.len())
            } else {
                random.below(posts.len())
            };
            let wait = Duration::from_micros(60_000_000 + random.skewed(days) as u64);
            let is_visible = !random.percent(2);
            posts[post].visible_comments += usize::from(is_visible);
            PlannedComment {
                post,
                author: author(&mut random, posts[post].board, users),
                at: posts[post].at.after(wait),
                is_visible,
            }
        })
        .collect();
    comments.sort_by_key(|comment| comment.at);
    comments
}

/// A random user who may enter the board. Some write far more than others.
fn author(random: &mut Random, board: usize, users: usize) -> usize {
    random.skewed(if board == PRIVATE { MEMBERS } else { users })
}

/// The number of visible posts of each board.
pub(super) fn post_counts(posts: &[PlannedPost]) -> [usize; THEMES.len()] {
    let mut counts = [0; THEMES.len()];
    for post in posts.iter().filter(|post| post.is_visible) {
        counts[post.board] += 1;
    }
    counts
}
