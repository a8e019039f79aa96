//! What reading takes at most, counted in rows and statements, not in time.

use diesel::{RunQueryDsl, sql_types::Binary};
use madang::{
    db::{Conn, on},
    error::{Error, Result},
    ids::BoardId,
};
use serde_json::{Value, json};

use crate::support::{Backends, Client, TestApp, any_board};

/// Posts on a board that only admins may enter. They come first in every order.
const OTHERS: usize = 100_000;

/// Puts posts on a board, which are numbered from the one after `from`.
async fn fill(app: &TestApp, board: &str, from: usize, posts: usize) {
    let board = BoardId::parse(board).unwrap();
    let digits: Vec<String> = (0..10).map(|d| format!("SELECT {d} AS d")).collect();
    let digits = digits.join(" UNION ALL ");
    let numbers = format!(
        "SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS i \
         FROM ({digits}) a, ({digits}) b, ({digits}) c, ({digits}) d, ({digits}) e"
    );
    let write = move |conn: &mut Conn| {
        let id = match conn {
            Conn::Sqlite(_) => format!("CAST(printf('%016d', {from} + i) AS BLOB)"),
            Conn::Mysql(_) => format!("CAST(LPAD({from} + i, 16, '0') AS BINARY)"),
        };
        let insert = format!(
            "INSERT INTO posts (id, board_id, title, is_visible, view_count, like_count, comment_count, created_at, changed_at, content) \
             SELECT {id}, ?, 'private', TRUE, 10 + i, 10 + i, 10 + i, 1, 4000000000000000 + i, '' FROM ({numbers}) n WHERE i <= {posts}"
        );
        on!(conn, |c| diesel::sql_query(&insert)
            .bind::<Binary, _>(board)
            .execute(c))?;
        Ok(())
    };
    app.app.db.write(write).await.unwrap();
}

/// The titles of all pages of three posts, read to the end in one direction.
async fn walk(client: &Client, order: &str, backwards: bool) -> Vec<String> {
    let arguments = match backwards {
        false => "first: 3, after: $cursor",
        true => "last: 3, before: $cursor",
    };
    let document = format!(
        "query($cursor: String) {{ posts(orderBy: {order}, {arguments}) {{
           nodes {{ title }} pageInfo {{ startCursor endCursor hasNextPage hasPreviousPage }} }} }}"
    );
    let (mut titles, mut cursor) = (Vec::new(), Value::Null);
    for _ in 0..20 {
        let answer = client.run(&document, json!({ "cursor": cursor })).await;
        let nodes = answer.at("posts.nodes").as_array().unwrap().clone();
        let mut page: Vec<String> = nodes.iter().map(|n| n["title"].to_string()).collect();
        let (next, has_more) = match backwards {
            false => ("endCursor", "hasNextPage"),
            true => ("startCursor", "hasPreviousPage"),
        };
        if backwards {
            page.reverse();
        }
        titles.extend(page);
        let info = answer.at("posts.pageInfo");
        if info[has_more] == false {
            return titles;
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
    fill(&app, &admin.board(secret).await, 0, OTHERS).await;

    for (order, of_ann) in &expected {
        assert_eq!(of_ann.len(), 12);
        assert_eq!(walk(&ann, order, false).await, *of_ann, "{order}");
        let mut backwards = walk(&ann, order, true).await;
        backwards.reverse();
        assert_eq!(backwards, *of_ann, "{order}, backwards");
        assert_eq!(walk(&ben, order, false).await.len(), 8, "{order}");
    }

    if Backends::of_this_run() == Backends::Embedded {
        assert_eq!(app.app.db.slow_reads(), 0);
        let total = ann.query("{ posts { totalCount } }").await;
        assert_eq!(total.at("posts.totalCount"), 12);
        assert_eq!(app.app.db.slow_reads(), 1, "a total of these reads them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_boards_are_one_statement_however_much_they_read() {
    let app = TestApp::on(Backends::Embedded, &[]).await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    for n in 0..20 {
        let input = json!({ "name": format!("board {n}"), "information": "i" });
        fill(&app, &admin.board(input).await, n * 200, 200).await;
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
