//! One run of load, and runs in turns: the speed of a machine may swing within minutes, so who is compared takes turns.

use std::{path::PathBuf, thread, time::Duration};

use anyhow::ensure;

use crate::{
    args::Args,
    http::Request,
    process::{Server, machine_cpu, own_cpu},
    results::{Results, figure},
    wrk,
};

pub const MADANG: &str = "madang";
pub const BARE: &str = "bare handler";
pub const POCKETBASE: &str = "PocketBase";
pub const MERCURIUS: &str = "mercurius";

/// A figure that other programs spoilt is taken once more, so often at most.
const AGAIN: u32 = 2;
/// So many seconds are given them at most, before each run, to leave the cores alone.
const PATIENCE: u32 = 60;

pub struct Bench {
    pub args: Args,
    /// Where all that is made is kept.
    pub folder: PathBuf,
    pub results: Results,
}

/// A server with what is asked of it.
pub struct Contestant<'a> {
    pub who: &'static str,
    pub server: &'a Server,
    pub request: &'a Request,
    /// What a right answer contains so often.
    pub expects: (&'static str, usize),
}

impl Contestant<'_> {
    /// Asks once, and fails unless the answer is right.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self) -> anyhow::Result<Vec<u8>> {
        let answer = self.request.send(self.server.port)?;
        let text = String::from_utf8_lossy(&answer.body);
        let (part, times) = self.expects;
        let is_right = (200..300).contains(&answer.status)
            && !text.contains("\"errors\":")
            && text.matches(part).count() == times;
        ensure!(
            is_right,
            "{}: status {}, wanted {times} × {part}: {text}",
            self.who,
            answer.status
        );
        Ok(answer.body)
    }
}

impl Bench {
    /// Loads the contestants in turns, at each number of connections.
    ///
    /// # Errors
    /// A wrong answer before the load, or no load.
    pub fn in_turns(
        &mut self,
        scenario: &'static str,
        connections: &[u32],
        contestants: &[Contestant<'_>],
    ) -> anyhow::Result<()> {
        for connections in connections {
            for contestant in contestants {
                contestant.check()?;
                self.warm(contestant, *connections)?;
            }
            for _ in 0..self.args.reps {
                for contestant in contestants {
                    self.run(scenario, contestant, *connections)?;
                }
            }
        }
        Ok(())
    }

    /// Load whose figures are thrown away.
    ///
    /// # Errors
    /// wrk fails.
    pub fn warm(&self, contestant: &Contestant<'_>, connections: u32) -> anyhow::Result<()> {
        if self.args.warm > 0 {
            self.load(contestant, connections, self.args.warm)?;
        }
        Ok(())
    }

    /// One measured run; more where other programs spoil it.
    ///
    /// # Errors
    /// wrk fails.
    pub fn run(
        &mut self,
        scenario: &'static str,
        contestant: &Contestant<'_>,
        connections: u32,
    ) -> anyhow::Result<()> {
        for _ in 0..=AGAIN {
            wait_for_quiet(contestant.server);
            let figures = self.figures(contestant, connections)?;
            let foreign = figures[6].1;
            self.results
                .push(scenario, contestant.who, connections, figures)?;
            if foreign <= 0.1 {
                break;
            }
        }
        Ok(())
    }

    /// The figures of one run.
    ///
    /// # Errors
    /// wrk fails.
    pub fn figures(
        &self,
        contestant: &Contestant<'_>,
        connections: u32,
    ) -> anyhow::Result<[(&'static str, f64); 7]> {
        let server = contestant.server;
        let before = (server.cpu(), machine_cpu() - own_cpu());
        let seen = self.load(contestant, connections, self.args.seconds)?;
        let cpu = server.cpu() - before.0;
        let others = machine_cpu() - own_cpu() - before.1 - cpu;
        let seconds = seen.microseconds / 1e6;
        Ok([
            (figure::REQUESTS, seen.requests / seconds),
            (figure::P50, seen.p50),
            (figure::P99, seen.p99),
            (figure::CPU, cpu * 1e3 / seen.requests.max(1.0)),
            (figure::RSS, server.rss()),
            (figure::BAD, seen.bad),
            (figure::FOREIGN, (others / seconds).max(0.0)),
        ])
    }

    fn load(
        &self,
        contestant: &Contestant<'_>,
        connections: u32,
        seconds: u64,
    ) -> anyhow::Result<wrk::Seen> {
        let (request, port) = (contestant.request, contestant.server.port);
        wrk::load(request, port, connections, seconds, &self.folder)
    }
}

/// Waits until a second passes in which programs other than the server use less than a tenth of a core.
fn wait_for_quiet(server: &Server) {
    for _ in 0..PATIENCE {
        let others = || machine_cpu() - own_cpu() - server.cpu();
        let before = others();
        thread::sleep(Duration::from_secs(1));
        if others() - before < 0.1 {
            break;
        }
    }
}
