//! What is written: posts, by some people at once; each run on a fresh copy of the database.

use serde_json::json;

use crate::{
    community::{CONTENT, Community, TITLE, graphql, token},
    http::Request,
    measure::{Bench, Contestant, MADANG},
    peers::Peer,
    process::Server,
};

pub const CREATE: &str = "create a post";
/// So many people write at once.
pub const WRITERS: [u32; 4] = [1, 16, 32, 64];

const DOCUMENT: &str = "mutation ($input: CreatePostInput!) { createPost(input: $input) { post { id title createdAt } } }";

/// createPost at `synchronous=FULL`, beside PocketBase's create.
///
/// # Errors
/// A server does not start, or answers wrongly.
pub fn measure(bench: &mut Bench, community: &Community, peers: &mut [Peer]) -> anyhow::Result<()> {
    if !bench.args.wants(CREATE) {
        return Ok(());
    }
    let board = community.board()?;
    let input = json!({ "boardId": board, "title": TITLE, "content": CONTENT });
    for writers in WRITERS {
        for _ in 0..bench.args.reps {
            let volume = bench.folder.join("run");
            community.copy(&volume)?;
            let server = community.serve(&volume)?;
            let token = token(&server)?;
            let request = graphql(&token, DOCUMENT, json!({ "input": input }));
            run(bench, MADANG, &server, &request, writers)?;
            drop(server);
            for peer in peers.iter_mut() {
                let Some(request) = peer.create(bench)? else {
                    continue;
                };
                run(bench, peer.who, peer.server()?, &request, writers)?;
                peer.stop();
            }
        }
    }
    Ok(())
}

fn run(
    bench: &mut Bench,
    who: &'static str,
    server: &Server,
    request: &Request,
    writers: u32,
) -> anyhow::Result<()> {
    let contestant = Contestant {
        who,
        server,
        request,
        expects: (TITLE, 1),
    };
    contestant.check()?;
    bench.warm(&contestant, writers)?;
    bench.run(CREATE, &contestant, writers)
}
