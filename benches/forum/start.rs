//! From the start of the process to its first answer, and what memory it holds then.

use std::{thread, time::Duration};

use crate::{
    community::{Community, viewer},
    measure::{Bench, MADANG},
    peers::Peer,
    results::figure,
};

pub const START: &str = "start";
/// Starts are short, and worth more of them.
const TIMES: u32 = 3;

/// Starts madang and its peers in turns.
///
/// # Errors
/// A server does not start.
pub fn measure(bench: &mut Bench, community: &Community, peers: &mut [Peer]) -> anyhow::Result<()> {
    if !bench.args.wants(START) {
        return Ok(());
    }
    let volume = bench.folder.join("run");
    community.copy(&volume)?;
    for peer in peers.iter_mut() {
        peer.start(bench, true)?;
        peer.stop();
    }
    for _ in 0..bench.args.reps * TIMES {
        let mut server = community.start(&volume)?;
        let first = server.first_answer(&viewer())?;
        thread::sleep(Duration::from_secs(1));
        push(bench, MADANG, first, server.rss())?;
        drop(server);
        for peer in peers.iter_mut() {
            let first = peer.start(bench, false)?;
            thread::sleep(Duration::from_secs(1));
            push(bench, peer.who, first, peer.server()?.rss())?;
            peer.stop();
        }
    }
    Ok(())
}

fn push(bench: &mut Bench, who: &'static str, first: Duration, rss: f64) -> anyhow::Result<()> {
    let figures = [
        (figure::START, first.as_secs_f64() * 1e3),
        (figure::IDLE, rss),
    ];
    bench.results.push(START, who, 0, figures)
}
