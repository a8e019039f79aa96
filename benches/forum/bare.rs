//! What the same answers cost at the least: axum, rusqlite, prepared statements, serde_json, and nothing else. It reads the
//! database of madang and answers byte for byte what madang answers. The body of a request is read and thrown away; nobody
//! is asked who they are.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, OpenFlags, Row};
use serde::Serialize;

/// The newest 20 that anybody may read, and one more to tell whether there are more.
const LIST: &str = "SELECT p.id, p.title, u.name, p.comment_count FROM posts p LEFT JOIN users u ON u.id = p.author_id
    WHERE p.is_visible AND p.board_id <> ?1 ORDER BY p.id DESC LIMIT 21";
const POST: &str = "SELECT p.id, p.title, p.content, p.created_at, u.name, b.name FROM posts p
    JOIN boards b ON b.id = p.board_id LEFT JOIN users u ON u.id = p.author_id
    WHERE p.id = ?1 AND p.is_visible AND p.board_id <> ?2";
const COMMENTS: &str = "SELECT c.id, c.content, c.created_at, u.name FROM comments c LEFT JOIN users u ON u.id = c.author_id
    WHERE c.post_id = ?1 AND c.is_visible ORDER BY c.id LIMIT 21";
/// A post with a page of comments: the first that has one.
pub const DISCUSSED: &str = "SELECT p.id FROM posts p JOIN boards b ON b.id = p.board_id
    WHERE b.is_visible AND p.is_visible AND p.author_id IS NOT NULL ORDER BY min(p.comment_count, 20) DESC, p.id LIMIT 1";

struct Site {
    database: PathBuf,
    post: Vec<u8>,
    /// Looked up once: this reader may not enter it.
    private_board: Vec<u8>,
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Serves `/list` and `/post` until it is ended.
///
/// # Errors
/// The port is taken, or the database is none of madang.
pub fn serve(port: u16, database: &Path) -> anyhow::Result<()> {
    let connection = open(database)?;
    let private = "SELECT id FROM boards WHERE NOT (is_visible AND is_available)";
    let site = Arc::new(Site {
        database: database.to_owned(),
        post: connection.query_row(DISCUSSED, [], |row| row.get(0))?,
        private_board: connection.query_row(private, [], |row| row.get(0))?,
    });
    drop(connection);
    let router = Router::new()
        .route("/ready", get(|| async {}))
        .route(
            "/list",
            post(|site: State<_>, body: Bytes| answer(site, body, list)),
        )
        .route(
            "/post",
            post(|site: State<_>, body: Bytes| answer(site, body, one_post)),
        )
        .with_state(site);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        Ok(axum::serve(listener, router).await?)
    })
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.execute_batch("PRAGMA mmap_size = 268435456; PRAGMA cache_size = -16384;")?;
    Ok(connection)
}

/// Answers on the thread that took the request, by its own connection.
async fn answer(
    State(site): State<Arc<Site>>,
    _: Bytes,
    read: fn(&Connection, &Site) -> anyhow::Result<Vec<u8>>,
) -> impl IntoResponse {
    let read = CONNECTION.with_borrow_mut(|connection| {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(open(&site.database)?),
        };
        read(connection, &site)
    });
    match read {
        Ok(json) => Ok(([(header::CONTENT_TYPE, "application/json")], json)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

#[derive(Serialize)]
struct Named {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    nodes: Vec<T>,
    page_info: PageInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedPost {
    id: String,
    title: String,
    author: Option<Named>,
    comment_count: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WholePost {
    id: String,
    title: String,
    content: String,
    created_at: String,
    author: Option<Named>,
    board: Named,
    comments: Page<Comment>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Comment {
    id: String,
    content: String,
    created_at: String,
    author: Option<Named>,
}

fn list(connection: &Connection, site: &Site) -> anyhow::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Posts {
        posts: Page<ListedPost>,
    }
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query([&site.private_board])?;
    let mut found = Vec::with_capacity(21);
    while let Some(row) = rows.next()? {
        let key: [u8; 16] = row.get(0)?;
        let listed = ListedPost {
            id: type_id("post_", key),
            title: row.get(1)?,
            author: name(row, 2)?,
            comment_count: row.get(3)?,
        };
        found.push((key, listed));
    }
    // The list's number, its order's, and the place in it.
    let posts = page(found, &[&[4][..], &[0; 16]].concat());
    Ok(serde_json::to_vec(&Data {
        data: Posts { posts },
    })?)
}

fn one_post(connection: &Connection, site: &Site) -> anyhow::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Post {
        post: WholePost,
    }
    let mut statement = connection.prepare_cached(COMMENTS)?;
    let mut rows = statement.query([&site.post])?;
    let mut found = Vec::with_capacity(21);
    while let Some(row) = rows.next()? {
        let key: [u8; 16] = row.get(0)?;
        let comment = Comment {
            id: type_id("comment_", key),
            content: row.get(1)?,
            created_at: time(row, 2)?,
            author: name(row, 3)?,
        };
        found.push((key, comment));
    }
    let comments = page(found, &[&[5][..], &[0; 8]].concat());
    let mut statement = connection.prepare_cached(POST)?;
    let post = statement.query_row([&site.post, &site.private_board], |row| {
        Ok(WholePost {
            id: type_id("post_", row.get(0)?),
            title: row.get(1)?,
            content: row.get(2)?,
            created_at: time(row, 3)?,
            author: name(row, 4)?,
            board: Named { name: row.get(5)? },
            comments,
        })
    })?;
    Ok(serde_json::to_vec(&Data {
        data: Post { post },
    })?)
}

fn page<T>(mut found: Vec<([u8; 16], T)>, list: &[u8]) -> Page<T> {
    let has_next_page = found.len() > 20;
    found.truncate(20);
    let end_cursor = found
        .last()
        .map(|(key, _)| BASE64_URL_SAFE_NO_PAD.encode([list, key].concat()));
    Page {
        nodes: found.into_iter().map(|(_, node)| node).collect(),
        page_info: PageInfo {
            has_next_page,
            end_cursor,
        },
    }
}

fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Named>> {
    let name: Option<String> = row.get(column)?;
    Ok(name.map(|name| Named { name }))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    let time = DateTime::<Utc>::from_timestamp_micros(row.get(column)?).unwrap_or_default();
    Ok(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// 16 bytes as a TypeID.
pub fn type_id(prefix: &str, bytes: [u8; 16]) -> String {
    let number = u128::from_be_bytes(bytes);
    let mut text = String::with_capacity(prefix.len() + 26);
    text.push_str(prefix);
    for place in (0..26).rev() {
        let digit = (number >> (place * 5) & 31) as usize;
        text.push(b"0123456789abcdefghjkmnpqrstvwxyz"[digit] as char);
    }
    text
}
