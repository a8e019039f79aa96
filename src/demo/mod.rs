//! `madang demo`: fills an empty database with a small believable community in Korean and English, or with a big one to
//! measure by. The same seed makes the same community, ids and times included; only passwords differ.

mod likes;
mod plan;
mod rows;
mod words;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use self::{
    plan::{MEMBERS, Plan, PlannedPost},
    rows::WholePost,
    words::{PRIVATE, THEMES},
};
use crate::{
    access::Role,
    accounts::{Email, Name, User, hashes, tokens},
    app::App,
    boards::{Board, BoardName, Information},
    comments::{self, Comment},
    error::{Error, Result, Rule},
    ids::{PostId, UserId},
    posts::{Content, Post, Title},
    random::Random,
};

/// The rows of one transaction: few enough for a statement's parameters on both engines.
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

/// The account to log in with.
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
    likes::fill(app, options, &plan, &people, &posts).await?;
    fill_comments(app, options, &plan, &people, &posts, &progress).await?;
    progress.finish_and_clear();
    Ok(keys)
}

async fn refuse_unless_empty(app: &App) -> Result<()> {
    if rows::is_empty(&app.db).await? {
        Ok(())
    } else {
        Err(Error::Conflict(Vec::new()))
    }
}

/// The admin, the first of all, and the users.
async fn fill_users(app: &App, options: &Options, plan: &Plan) -> Result<(Keys, Vec<UserId>)> {
    let mut random = Random::new(options.seed, "users");
    let keys = Keys {
        admin: "admin".to_owned(),
        password: tokens::random()?.chars().take(20).collect(),
    };
    let admin_hash = hashes::hash(&app.cpu, keys.password.clone()).await?;
    // A password that nobody knows, so that nobody can log in as one of these users.
    let user_hash = hashes::hash(&app.cpu, tokens::random()?).await?;
    let mut people = Vec::with_capacity(plan.users + 1);
    let mut at = plan::beginning().before(Duration::from_secs(30 * 86_400));
    for n in 0..=plan.users {
        let (name, hash, role) = match n {
            0 => (keys.admin.clone(), &admin_hash, Role::Admin),
            n => (words::name(n - 1), &user_hash, Role::User),
        };
        let name = Name::parse(&name).map_err(malformed)?;
        let email = Email::parse(&format!("user{n}@example.org")).map_err(malformed)?;
        at = at.after(Duration::from_secs(60 + random.below(3_600) as u64));
        let user = User {
            id: random.id(at),
            name,
            email,
            role,
            is_banned: false,
            ban_reason: None,
            joined_at: at,
            updated_at: None,
        };
        people.push((user, hash.clone()));
    }
    let ids = people.iter().skip(1).map(|(user, ..)| user.id).collect();
    app.db
        .write(move |conn| rows::insert_users(conn, &people))
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
        let name = BoardName::parse(theme.name).map_err(malformed)?;
        let information = Information::parse(theme.information).map_err(malformed)?;
        let at = plan::beginning().before(Duration::from_secs(3_600 * (24 - n as u64)));
        boards.push(Board {
            id: random.id(at),
            name,
            information,
            is_visible: n != PRIVATE,
            is_available: true,
            post_count: number(counts[n]),
            created_at: at,
            updated_at: None,
        });
    }
    // The most active users are the members.
    let members: Vec<UserId> = people.iter().take(MEMBERS).copied().collect();
    let inserted = boards.clone();
    app.db
        .write(move |conn| rows::insert_boards(conn, &inserted, &members, plan::beginning()))
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
        for planned in batch {
            let post = post(&mut random, planned, people, boards)?;
            ids.push(post.post.id);
            posts.push(post);
        }
        let count = posts.len() as u64;
        app.db
            .write(move |conn| rows::insert_posts(conn, &posts))
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
) -> Result<WholePost> {
    let (title, content) = THEMES[planned.board].post(random);
    let title = Title::parse(&title).map_err(malformed)?;
    let content = Content::parse(&content).map_err(malformed)?;
    let changed = planned
        .at
        .after(Duration::from_secs(60 + random.below(86_400) as u64));
    let (board, author) = (boards[planned.board].id, people[planned.author]);
    let post = Post {
        is_visible: planned.is_visible,
        view_count: number(planned.views),
        comment_count: number(planned.visible_comments),
        updated_at: planned.was_changed.then_some(changed),
        ..Post::new(random.id(planned.at), board, author, title, planned.at)
    };
    Ok(WholePost { post, content })
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
        let mut comments = Vec::with_capacity(batch.len());
        for planned in batch {
            let board = plan.posts[planned.post].board;
            let id = random.id(planned.at);
            let content = THEMES[board].comment(&mut random);
            comments.push(Comment {
                id,
                post_id: posts[planned.post],
                author_id: Some(people[planned.author]),
                content: comments::Content::parse(&content).map_err(malformed)?,
                is_visible: planned.is_visible,
                created_at: planned.at,
                updated_at: None,
            });
        }
        let count = comments.len() as u64;
        app.db
            .write(move |conn| rows::insert_comments(conn, &comments))
            .await?;
        progress.inc(count);
    }
    Ok(())
}

/// The error for a text of the demo that breaks a rule.
fn malformed(rule: Rule) -> Error {
    Error::internal(format!("a text of the demo is not well-formed: {rule:?}"))
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
