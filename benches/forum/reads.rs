//! What is read: the list, its depths, and one post.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::{
    community::{Community, LIST_DOCUMENT, ask, graphql, token},
    http::Request,
    measure::{BARE, Bench, Contestant, MADANG},
    peers::Peer,
    process::Server,
};

pub const LIST: &str = "list of 20";
pub const DEEP: &str = "deep: page 4 000";
pub const FIRST: &str = "deep: page 1";
pub const BIG: &str = "list of 20, ten times the rows";
pub const POST: &str = "post with 20 comments";
/// At so many connections each.
pub const CONNECTIONS: [u32; 2] = [16, 32];

const PAGE_DOCUMENT: &str = "query ($after: String) { posts(first: 20, after: $after) { nodes { id title author { name } commentCount } pageInfo { hasNextPage endCursor } } }";
const POST_DOCUMENT: &str = "query ($id: ID!) { post(id: $id) { id title content createdAt author { name } board { name } comments(first: 20) { nodes { id content createdAt author { name } } pageInfo { hasNextPage endCursor } } } }";

/// The list beside all others that have one, and one post beside its bare handler.
///
/// # Errors
/// A server does not start, or answers wrongly.
pub fn measure(bench: &mut Bench, community: &Community, peers: &mut [Peer]) -> anyhow::Result<()> {
    let wanted = [LIST, DEEP, POST].map(|scenario| bench.args.wants(scenario));
    if wanted == [false; 3] {
        return Ok(());
    }
    let volume = bench.folder.join("run");
    community.copy(&volume)?;
    let madang = community.serve(&volume)?;
    let bare = community.serve_bare(&volume)?;
    let token = token(&madang)?;
    if wanted[0] {
        list(bench, &token, &madang, &bare, peers)?;
    }
    if wanted[1] {
        deep(bench, &token, &madang)?;
    }
    if wanted[2] {
        let id = community.discussed_post()?;
        let asked = graphql(&token, POST_DOCUMENT, json!({ "id": id }));
        let bare_asked = Request::post("/post", &json!({ "id": id }));
        let comments = ask(&madang, &token, POST_DOCUMENT, json!({ "id": id }))?;
        let comments = comments["post"]["comments"]["nodes"].as_array();
        let expects = ("\"id\":", 1 + comments.map_or(0, Vec::len));
        let contestants = beside(
            [(MADANG, &madang, &asked), (BARE, &bare, &bare_asked)],
            expects,
        );
        ensure_same(&contestants)?;
        bench.in_turns(POST, &CONNECTIONS, &contestants)?;
    }
    Ok(())
}

fn beside<'a>(
    servers: [(&'static str, &'a Server, &'a Request); 2],
    expects: (&'static str, usize),
) -> Vec<Contestant<'a>> {
    let contestant = |(who, server, request)| Contestant {
        who,
        server,
        request,
        expects,
    };
    servers.map(contestant).into()
}

fn list(
    bench: &mut Bench,
    token: &str,
    madang: &Server,
    bare: &Server,
    peers: &mut [Peer],
) -> anyhow::Result<()> {
    let asked = graphql(token, LIST_DOCUMENT, json!({}));
    let bare_asked = Request::post("/list", &json!({ "query": LIST_DOCUMENT }));
    let expects = ("\"title\":", 20);
    let mut contestants = beside(
        [(MADANG, madang, &asked), (BARE, bare, &bare_asked)],
        expects,
    );
    ensure_same(&contestants)?;
    for peer in peers.iter_mut() {
        peer.start(bench, true)?;
    }
    let requests = peers
        .iter()
        .map(|peer| Ok((peer.who, peer.server()?, peer.list()?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    contestants.extend(requests.iter().map(|(who, server, request)| Contestant {
        who,
        server,
        request,
        expects,
    }));
    ensure_same_titles(&contestants)?;
    let measured = bench.in_turns(LIST, &CONNECTIONS, &contestants);
    drop(contestants);
    drop(requests);
    peers.iter_mut().for_each(Peer::stop);
    measured
}

/// The page behind 80 000 posts, in turns with the first one.
fn deep(bench: &mut Bench, token: &str, madang: &Server) -> anyhow::Result<()> {
    let pages = (bench.args.posts / 5 * 4 / 100).min(800);
    let document =
        "query ($after: String) { posts(first: 100, after: $after) { pageInfo { endCursor } } }";
    let mut after = Value::Null;
    for _ in 0..pages {
        let answer = ask(madang, token, document, json!({ "after": after }))?;
        after = answer["posts"]["pageInfo"]["endCursor"].clone();
        ensure!(
            after.is_string(),
            "there are fewer than {pages} pages of 100"
        );
    }
    let first = graphql(token, PAGE_DOCUMENT, json!({ "after": null }));
    let deep = graphql(token, PAGE_DOCUMENT, json!({ "after": after }));
    let of = |request| {
        [Contestant {
            who: MADANG,
            server: madang,
            request,
            expects: ("\"title\":", 20),
        }]
    };
    for request in [&first, &deep] {
        bench.warm(&of(request)[0], CONNECTIONS[0])?;
    }
    for _ in 0..bench.args.reps {
        for (scenario, request) in [(FIRST, &first), (DEEP, &deep)] {
            of(request)[0].check()?;
            bench.run(scenario, &of(request)[0], CONNECTIONS[0])?;
        }
    }
    Ok(())
}

/// The list of a database with ten times the rows.
///
/// # Errors
/// A server does not start, or answers wrongly.
pub fn measure_big(bench: &mut Bench, small: &Community, big: &Community) -> anyhow::Result<()> {
    let folders = ["run", "run-big"].map(|name| bench.folder.join(name));
    small.copy(&folders[0])?;
    big.copy(&folders[1])?;
    let servers = [small.serve(&folders[0])?, big.serve(&folders[1])?];
    let requests = [
        graphql(&token(&servers[0])?, LIST_DOCUMENT, json!({})),
        graphql(&token(&servers[1])?, LIST_DOCUMENT, json!({})),
    ];
    let contestants = beside(
        [
            ("madang, the rows of the others", &servers[0], &requests[0]),
            (MADANG, &servers[1], &requests[1]),
        ],
        ("\"title\":", 20),
    );
    bench.in_turns(BIG, &CONNECTIONS[..1], &contestants)
}

/// madang's answer and that of the bare handler.
fn ensure_same(contestants: &[Contestant<'_>]) -> anyhow::Result<()> {
    let answers = contestants
        .iter()
        .map(|contestant| Ok(String::from_utf8(contestant.check()?)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(
        answers.iter().all(|answer| *answer == answers[0]),
        "the answers differ:\n{}",
        answers.join("\n")
    );
    Ok(())
}

/// The peers show the same posts.
fn ensure_same_titles(contestants: &[Contestant<'_>]) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for contestant in contestants {
        let answer: Value = serde_json::from_slice(&contestant.check()?)?;
        let nodes = answer
            .pointer("/data/posts/nodes")
            .or_else(|| answer.get("items"))
            .and_then(Value::as_array)
            .with_context(|| answer.to_string())?;
        all.push(nodes.iter().map(|n| n["title"].clone()).collect::<Vec<_>>());
    }
    let odd = all.iter().position(|titles| *titles != all[0]);
    ensure!(
        odd.is_none(),
        "{} lists other posts than {}",
        odd.map_or("", |n| contestants[n].who),
        contestants[0].who
    );
    Ok(())
}
