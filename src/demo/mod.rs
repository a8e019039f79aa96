//! `madang demo`: fills an empty database with a small believable community in Korean and English, or with a big one to
//! measure by. The same seed makes the same community, ids and times included; only passwords differ.

mod plan;
mod random;
mod words;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use self::{
    plan::{MEMBERS, Plan, PlannedPost},
    random::Random,
    words::{PRIVATE, THEMES},
};
use crate::{
    access::Role,
    accounts::{Email, Name, User, store::users, tokens},
    app::App,
    boards::{Board, BoardName, store as boards_store},
    comments::{Comment, store as comments_store},
    error::{Error, Result},
    ids::{PostId, UserId},
    posts::{
        Post,
        store::{self as posts_store, WholePost, likes},
    },
};

/// Rows that one transaction writes: few enough for a statement's parameters on either engine.
const BATCH: usize = 1_000;

/// How much of what.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Posts to make.
    #[arg(long, default_value_t = 300, value_parser = up_to_a_million)]
    pub posts: usize,
    /// Comments to make.
    #[arg(long, default_value_t = 2_000, value_parser = up_to_a_million)]
    pub comments: usize,
    /// The same seed makes the same community.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn up_to_a_million(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 0..=1_000_000) => Ok(number),
        _ => Err("not a number from 0 to 1000000".to_owned()),
    }
}

/// Who can log in to what was made.
#[derive(Clone, Debug)]
pub struct Keys {
    pub admin: String,
    pub password: String,
}

/// Fills the database.
///
/// # Errors
/// `CONFLICT` when it is not empty.
pub async fn fill(app: &App, options: &Options) -> Result<Keys> {
    refuse_unless_empty(app).await?;
    let plan = Plan::new(options);
    let steps = plan.users + plan.posts.len() + plan.comments.len();
    let progress = ProgressBar::new(steps as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {elapsed}") {
        progress.set_style(style);
    }
    let (keys, people) = fill_users(app, options, &plan).await?;
    progress.inc(plan.users as u64);
    let boards = fill_boards(app, options, &plan, &people).await?;
    let posts = fill_posts(app, options, &plan, &people, &boards, &progress).await?;
    fill_comments(app, options, &plan, &people, &posts, &progress).await?;
    progress.finish_and_clear();
    Ok(keys)
}

async fn refuse_unless_empty(app: &App) -> Result<()> {
    if users::exist(app).await? || boards_store::exist(app).await? {
        return Err(Error::Conflict(Vec::new()));
    }
    Ok(())
}

/// The admin, the first of all, and the users.
async fn fill_users(app: &App, options: &Options, plan: &Plan) -> Result<(Keys, Vec<UserId>)> {
    let mut random = Random::new(options.seed, "users");
    let keys = Keys {
        admin: "admin".to_owned(),
        password: tokens::random()?.chars().take(20).collect(),
    };
    let admin_hash = app.hashing.hash(keys.password.clone()).await?;
    // Nobody knows this password, so nobody can log in as one of the users.
    let user_hash = app.hashing.hash(tokens::random()?).await?;
    let mut people = Vec::with_capacity(plan.users + 1);
    let mut at = plan::beginning().before(Duration::from_secs(30 * 86_400));
    for n in 0..=plan.users {
        let (name, hash, role) = match n {
            0 => (keys.admin.clone(), &admin_hash, Role::Admin),
            n => (words::name(n - 1), &user_hash, Role::User),
        };
        let invalid = |_| Error::internal("a name of the demo is not well-formed");
        let name = Name::parse(&name).map_err(invalid)?;
        let email = Email::parse(&format!("user{n}@example.org")).map_err(invalid)?;
        at = at.after(Duration::from_secs(60 + random.below(3_600) as u64));
        let user = User {
            id: random.id(at),
            name: name.text,
            name_key: name.key,
            email: email.text,
            role,
            is_banned: false,
            ban_reason: None,
            joined_at: at,
            updated_at: None,
        };
        people.push((user, email.key, hash.clone()));
    }
    let ids = people.iter().skip(1).map(|(user, ..)| user.id).collect();
    app.db
        .write(move |conn| users::insert_many(conn, &people))
        .await?;
    Ok((keys, ids))
}

async fn fill_boards(
    app: &App,
    options: &Options,
    plan: &Plan,
    people: &[UserId],
) -> Result<Vec<Board>> {
    let mut random = Random::new(options.seed, "boards");
    let counts = plan::post_counts(&plan.posts);
    let mut boards = Vec::with_capacity(THEMES.len());
    for (n, theme) in THEMES.iter().enumerate() {
        let invalid = |_| Error::internal("a board of the demo is not well-formed");
        let name = BoardName::parse(theme.name).map_err(invalid)?;
        let at = plan::beginning().before(Duration::from_secs(3_600 * (24 - n as u64)));
        boards.push(Board {
            id: random.id(at),
            name: name.text,
            name_key: name.key,
            information: theme.information.to_owned(),
            is_visible: n != PRIVATE,
            is_available: true,
            post_count: number(counts[n]),
            created_at: at,
            updated_at: None,
        });
    }
    // Who posts most keeps the place tidy.
    let members: Vec<UserId> = people.iter().take(MEMBERS).copied().collect();
    let rows = boards.clone();
    app.db
        .write(move |conn| boards_store::insert_many(conn, &rows, &members, plan::beginning()))
        .await?;
    Ok(boards)
}

async fn fill_posts(
    app: &App,
    options: &Options,
    plan: &Plan,
    people: &[UserId],
    boards: &[Board],
    progress: &ProgressBar,
) -> Result<Vec<PostId>> {
    let mut random = Random::new(options.seed, "texts of posts");
    let mut ids = Vec::with_capacity(plan.posts.len());
    for batch in plan.posts.chunks(BATCH) {
        let mut posts = Vec::with_capacity(batch.len());
        let mut liked = Vec::new();
        for planned in batch {
            let post = post(&mut random, planned, people, boards);
            // People in a row, from anywhere: nobody likes a post twice.
            let readers = if planned.board == PRIVATE {
                MEMBERS
            } else {
                people.len()
            };
            let first = random.below(readers);
            for n in 0..planned.likes {
                liked.push((post.post.id, people[(first + n) % readers], planned.at));
            }
            ids.push(post.post.id);
            posts.push(post);
        }
        let count = posts.len() as u64;
        app.db
            .write(move |conn| {
                posts_store::insert_many(conn, &posts)?;
                liked
                    .chunks(BATCH)
                    .try_for_each(|liked| likes::insert_many(conn, liked))
            })
            .await?;
        progress.inc(count);
    }
    Ok(ids)
}

fn post(
    random: &mut Random,
    planned: &PlannedPost,
    people: &[UserId],
    boards: &[Board],
) -> WholePost {
    let (title, content) = THEMES[planned.board].post(random);
    let changed = planned
        .at
        .after(Duration::from_secs(60 + random.below(86_400) as u64));
    let post = Post {
        id: random.id(planned.at),
        board_id: boards[planned.board].id,
        author_id: Some(people[planned.author]),
        title,
        is_visible: planned.is_visible,
        view_count: number(planned.views),
        like_count: number(planned.likes),
        comment_count: number(planned.visible_comments),
        created_at: planned.at,
        updated_at: planned.was_changed.then_some(changed),
    };
    WholePost { post, content }
}

async fn fill_comments(
    app: &App,
    options: &Options,
    plan: &Plan,
    people: &[UserId],
    posts: &[PostId],
    progress: &ProgressBar,
) -> Result<()> {
    let mut random = Random::new(options.seed, "texts of comments");
    for batch in plan.comments.chunks(BATCH) {
        let comments: Vec<_> = batch
            .iter()
            .map(|planned| {
                let board = plan.posts[planned.post].board;
                Comment {
                    id: random.id(planned.at),
                    post_id: posts[planned.post],
                    author_id: Some(people[planned.author]),
                    content: THEMES[board].comment(&mut random),
                    is_visible: planned.is_visible,
                    created_at: planned.at,
                    updated_at: None,
                }
            })
            .collect();
        let count = comments.len() as u64;
        app.db
            .write(move |conn| comments_store::insert_many(conn, &comments))
            .await?;
        progress.inc(count);
    }
    Ok(())
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
