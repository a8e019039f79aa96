//! What reading takes at most, counted in rows and statements, not in time.

use diesel::{
    RunQueryDsl,
    sql_types::{Binary, Nullable},
};
use madang::{
    db::{Conn, on},
    error::{Error, Result},
    ids::{BoardId, PostId, UserId},
};
use serde_json::{Value, json};

use crate::support::{Backends, Client, TestApp, any_board};

/// Posts, or comments, of others that stand before all that a reader may see.
const OTHERS: usize = 100_000;

/// The numbers from 1 to 100 000, as a table `n` with a column `i`.
fn numbers() -> String {
    let digits: Vec<String> = (0..10).map(|d| format!("SELECT {d} AS d")).collect();
    let digits = digits.join(" UNION ALL ");
    format!(
        "(SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS i \
         FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d, ({digits}) e) n"
    )
}

/// Ids that are above all others, and numbered from the one after `from`.
fn ids(conn: &Conn, from: usize) -> String {
    match conn {
        Conn::Sqlite(_) => format!("CAST(printf('%016d', {from} + i) AS BLOB)"),
        Conn::Mysql(_) => format!("CAST(LPAD({from} + i, 16, '0') AS BINARY)"),
    }
}

/// Puts posts on a board, which are numbered from the one after `from`: hidden ones of an author, or visible ones of nobody.
async fn fill(app: &TestApp, board: &str, from: usize, posts: usize, hidden_by: Option<&Client>) {
    let (board, author) = (BoardId::parse(board).unwrap(), user(hidden_by));
    let write = move |conn: &mut Conn| {
        let (id, numbers, is_visible) = (ids(conn, from), numbers(), author.is_none());
        let insert = format!(
            "INSERT INTO posts (id, board_id, author_id, title, is_visible, view_count, like_count, comment_count, created_at, changed_at, content) \
             SELECT {id}, ?, ?, 'private', {is_visible}, 10 + i, 10 + i, 10 + i, 4000000000000000 + i, 4000000000000000 + i, '' FROM {numbers} WHERE i <= {posts}"
        );
        on!(conn, |c| diesel::sql_query(&insert)
            .bind::<Binary, _>(board)
            .bind::<Nullable<Binary>, _>(author)
            .execute(c))?;
        Ok(())
    };
    app.app.db.write(write).await.unwrap();
}

/// Puts hidden comments of an author on a post.
async fn hide_comments(app: &TestApp, post: &str, author: &Client) {
    let (post, author) = (PostId::parse(post).unwrap(), user(Some(author)));
    let write = move |conn: &mut Conn| {
        let (id, numbers) = (ids(conn, 0), numbers());
        let insert = format!(
            "INSERT INTO comments (id, post_id, author_id, content, is_visible, created_at) \
             SELECT {id}, ?, ?, 'private', FALSE, 1 FROM {numbers}"
        );
        on!(conn, |c| diesel::sql_query(&insert)
            .bind::<Binary, _>(post)
            .bind::<Nullable<Binary>, _>(author)
            .execute(c))?;
        Ok(())
    };
    app.app.db.write(write).await.unwrap();
}

fn user(client: Option<&Client>) -> Option<UserId> {
    client.map(|client| UserId::parse(&client.id).unwrap())
}

/// The titles of all pages of three posts in an order.
async fn walk(client: &Client, order: &str, backwards: bool) -> Vec<String> {
    let list = format!("{{ posts(orderBy: {order}, PAGE) {{ nodes {{ text: title }} INFO }} }}");
    walk_in(client, &list, "posts", backwards).await
}

/// The texts of all pages of three nodes, read to the end in one direction. `list` is a document with the places of the
/// arguments and of the information on the page, and `path` leads to the list.
async fn walk_in(client: &Client, list: &str, path: &str, backwards: bool) -> Vec<String> {
    let arguments = match backwards {
        false => "first: 3, after: $cursor",
        true => "last: 3, before: $cursor",
    };
    let information = "pageInfo { startCursor endCursor hasNextPage hasPreviousPage }";
    let list = list.replace("PAGE", arguments).replace("INFO", information);
    let document = format!("query($cursor: String) {list}");
    let (mut texts, mut cursor) = (Vec::new(), Value::Null);
    for _ in 0..20 {
        let answer = client.run(&document, json!({ "cursor": cursor })).await;
        answer.data();
        let nodes = answer.at(&format!("{path}.nodes")).as_array().unwrap();
        let mut page: Vec<String> = nodes.iter().map(|n| n["text"].to_string()).collect();
        let (next, has_more) = match backwards {
            false => ("endCursor", "hasNextPage"),
            true => ("startCursor", "hasPreviousPage"),
        };
        if backwards {
            page.reverse();
        }
        texts.extend(page);
        let info = answer.at(&format!("{path}.pageInfo"));
        if info[has_more] == false {
            return texts;
        }
        cursor = info[next].clone();
    }
    panic!("the list has no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_posts_is_read_from_the_boards_that_the_reader_may_enter() {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let of_ann =
        json!({ "name": "granted", "information": "i", "isVisible": false, "memberIds": [ann.id] });
    let boards = [
        admin.board(any_board()).await,
        admin.board(of_ann).await,
        admin
            .board(json!({ "name": "other", "information": "i" }))
            .await,
    ];
    for n in 0..12 {
        let post = ann.post_on(&boards[n % 3], &format!("{n:02}")).await;
        if n % 4 == 0 {
            let likes = json!({ "id": post });
            ann.mutate("likePost", likes, "post { id }").await.data();
        }
    }
    let mut expected = Vec::new();
    let orders = ["CREATED_AT", "UPDATED_AT", "VIEWS", "LIKES", "COMMENTS"];
    for field in orders {
        for direction in ["ASC", "DESC"] {
            let order = format!("{{ field: {field}, direction: {direction} }}");
            expected.push((order.clone(), walk(&ann, &order, false).await));
        }
    }
    let secret = json!({ "name": "secret", "information": "i", "isVisible": false });
    fill(&app, &admin.board(secret).await, 0, OTHERS, None).await;

    for (order, of_ann) in &expected {
        assert_eq!(of_ann.len(), 12);
        assert_eq!(walk(&ann, order, false).await, *of_ann, "{order}");
        let mut backwards = walk(&ann, order, true).await;
        backwards.reverse();
        assert_eq!(backwards, *of_ann, "{order}, backwards");
        assert_eq!(walk(&ben, order, false).await.len(), 8, "{order}");
    }

    let slow = app.app.db.slow_reads();
    let total = ann.query("{ posts { totalCount } }").await;
    assert_eq!(total.at("posts.totalCount"), 12);
    if Backends::of_this_run() == Backends::Embedded {
        let slow = (slow, app.app.db.slow_reads());
        assert_eq!(slow, (0, 1), "only a total of these reads them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_hidden_is_not_read() {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let mallory = app.user("mallory").await;
    let board = admin.board(any_board()).await;
    let post = ben.post_on(&board, "00").await;
    for n in 1..10 {
        let (text, is_visible) = (format!("{n:02}"), n % 3 != 0);
        let of_post =
            json!({ "boardId": board, "title": text, "content": "c", "isVisible": is_visible });
        let of_comment = json!({ "postId": post, "content": text, "isVisible": is_visible });
        let made = [
            ("createPost", of_post, "post { id }"),
            ("createComment", of_comment, "comment { id }"),
        ];
        for (mutation, input, fields) in made {
            ann.mutate(mutation, input, fields).await.data();
        }
    }
    let mut lists = vec![
        (
            format!(
                "{{ post(id: \"{post}\") {{ comments(PAGE) {{ totalCount nodes {{ text: content }} INFO }} }} }}"
            ),
            "post.comments",
        ),
        (
            format!(
                "{{ user(id: \"{}\") {{ comments(PAGE) {{ totalCount nodes {{ text: content }} INFO }} }} }}",
                ann.id
            ),
            "user.comments",
        ),
        (
            format!(
                "{{ user(id: \"{}\") {{ posts(PAGE) {{ totalCount nodes {{ text: title }} INFO }} }} }}",
                ann.id
            ),
            "user.posts",
        ),
    ];
    for field in ["CREATED_AT", "UPDATED_AT", "VIEWS", "LIKES", "COMMENTS"] {
        for direction in ["ASC", "DESC"] {
            let order = format!("orderBy: {{ field: {field}, direction: {direction} }}");
            lists.push((format!("{{ board(id: \"{board}\") {{ posts({order}, PAGE) {{ totalCount nodes {{ text: title }} INFO }} }} }}"), "board.posts"));
        }
    }
    let last = format!("{{ board(id: \"{board}\") {{ lastPost {{ title }} }} }}");
    let mut expected = Vec::new();
    for client in [&ann, &ben] {
        for (list, path) in &lists {
            let all = walk_in(client, list, path, false).await;
            let all_of_ann = 9 + usize::from(*path == "board.posts");
            assert_eq!(
                all.len(),
                all_of_ann - if client.id == ben.id { 3 } else { 0 },
                "{list}"
            );
            expected.push((client, list, *path, all));
        }
    }
    assert_eq!(ann.query(&last).await.at("board.lastPost.title"), "09");
    fill(&app, &board, 0, OTHERS, Some(&mallory)).await;
    hide_comments(&app, &post, &mallory).await;

    for (client, list, path, all) in &expected {
        assert_eq!(walk_in(client, list, path, false).await, *all, "{list}");
        let mut backwards = walk_in(client, list, path, true).await;
        backwards.reverse();
        assert_eq!(backwards, *all, "{list}, backwards");
        let document = list.replace("PAGE", "first: 1").replace("INFO", "");
        let answer = client.query(&document).await;
        assert_eq!(
            answer.at(&format!("{path}.totalCount")),
            all.len(),
            "{list}"
        );
    }
    assert_eq!(ann.query(&last).await.at("board.lastPost.title"), "09");
    assert_eq!(ben.query(&last).await.at("board.lastPost.title"), "08");
    assert_eq!(app.app.db.slow_reads(), 0);

    for client in [&admin, &mallory] {
        assert_eq!(
            client.query(&last).await.at("board.lastPost.title"),
            "private"
        );
        for (list, path) in &lists {
            let document = list.replace("PAGE", "last: 1").replace("INFO", "");
            let answer = client.query(&document).await;
            let texts = answer.at(&format!("{path}.nodes.0.text"));
            let is_of_all = path.starts_with("board") || path.starts_with("post");
            let is_last = path.starts_with("post") || list.contains("ASC");
            assert_eq!(texts == "private", is_of_all && is_last, "{list}: {texts}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_boards_are_one_statement_however_much_they_read() {
    let app = TestApp::on(Backends::Embedded, &[]).await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    for n in 0..20 {
        let input = json!({ "name": format!("board {n}"), "information": "i" });
        fill(&app, &admin.board(input).await, n * 200, 200, None).await;
    }

    for client in [&admin, &ann] {
        for first in [2, 100] {
            let document = format!(
                "{{ boards {{ nodes {{ posts(first: {first}) {{ nodes {{ title }} }} }} }} }}"
            );
            app.forget().await;
            let before = app.app.db.statements();
            client.query(&document).await.data();

            assert_eq!(app.app.db.statements() - before, 3, "{document}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_one_list_are_counted_once_and_many_totals_are_refused() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(any_board()).await;
    ann.post_on(&board, "post").await;
    let orders: String = ["VIEWS", "LIKES", "COMMENTS", "UPDATED_AT", "CREATED_AT"]
        .iter()
        .map(|field| format!("{field}: posts(orderBy: {{ field: {field} }}) {{ totalCount }} "))
        .collect();
    let count = async |document: &str| {
        let before = app.app.db.statements();
        ann.query(document).await.data();
        app.app.db.statements() - before
    };

    let one = count("{ posts { totalCount } }").await;
    let five = count(&format!("{{ {orders} }}")).await;
    // Their pages are five statements in one.
    assert_eq!(five, one);
    let below = format!("{{ posts(first: 100) {{ nodes {{ author {{ {orders} }} }} }} }}");
    let refused = ann.query(&below).await;

    assert_eq!(refused.code(), "LIMIT_EXCEEDED");
    assert!(
        refused.errors()[0]["message"]
            .to_string()
            .contains("complexity")
    );
}

fn endless(conn: &mut Conn) -> Result<()> {
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT 1 FROM n WHERE i < 0";
    on!(conn, |c| diesel::sql_query(endless).execute(c))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_without_an_end_stop_nobody_and_are_stopped() {
    let app = TestApp::on(Backends::Embedded, &["--limit-request-time", "2s"]).await;
    let ann = app.user("ann").await;
    let db = &app.app.db;
    let mut long: Vec<_> = (0..12)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { db.read(endless).await })
        })
        .collect();
    while db.slow_reads() < 12 {
        tokio::task::yield_now().await;
    }

    for _ in 0..20 {
        ann.query("{ viewer { name } boards { nodes { name } } }")
            .await
            .data();
    }

    assert!(long.iter().all(|read| !read.is_finished()));
    // Those whose callers go away are stopped at once, so that the last one's turn comes.
    let last = long.pop().unwrap();
    for read in long {
        read.abort();
    }
    assert!(matches!(last.await.unwrap(), Err(Error::Timeout)));
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_are_counted_in_bytes_while_they_are_read() {
    let app = TestApp::with(&["--limit-answer", "100000", "--limit-writes", "1000"]).await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(any_board()).await;
    for _ in 0..2 {
        let post = ann.post_on(&board, "post").await;
        for _ in 0..10 {
            ann.comment_on(&post, &"x".repeat(4_000)).await;
        }
    }
    let list = |first: usize| {
        format!("{{ posts {{ nodes {{ comments(first: {first}) {{ nodes {{ id }} }} }} }} }}")
    };

    ann.query(&list(10)).await.data();
    for _ in 0..6 {
        let post = ann.post_on(&board, "post").await;
        ann.comment_on(&post, &"x".repeat(4_000)).await;
    }
    let refused = ann.query(&list(10)).await;

    // Not even its text was asked for.
    assert_eq!(refused.code(), "LIMIT_EXCEEDED");
    ann.query(&list(2)).await.data();
}
