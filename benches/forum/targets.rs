//! What is asked of the figures, and whether they give it.

use crate::{
    measure::{BARE, MADANG, MERCURIUS, POCKETBASE},
    reads::{BIG, CONNECTIONS, DEEP, FIRST, LIST, POST},
    results::{Results, figure},
    sign_in::{self, ALONE, BESIDE, LOG_IN},
    start::START,
    writes::CREATE,
};

/// A target and what was measured.
pub struct Target {
    pub what: &'static str,
    pub bound: Bound,
    /// None: not measured this time.
    pub measured: Option<f64>,
}

/// Which way a figure is good.
#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    pub fn is_reached(&self) -> Option<bool> {
        Some(match self.bound {
            Bound::AtLeast(least) => self.measured? >= least,
            Bound::AtMost(most) => self.measured? <= most,
        })
    }
}

/// All of them.
pub fn all(results: &Results) -> Vec<Target> {
    let target = |what, bound, measured| Target {
        what,
        bound,
        measured,
    };
    let of = Of(results);
    let (at_least, at_most) = (Bound::AtLeast, Bound::AtMost);
    vec![
        target(
            "list: requests/s to PocketBase's",
            at_least(8.0),
            of.worst_of_both(LIST, POCKETBASE, figure::REQUESTS, f64::min),
        ),
        target(
            "list: requests/s to mercurius' on two processes",
            at_least(1.3),
            of.worst_of_both(LIST, MERCURIUS, figure::REQUESTS, f64::min),
        ),
        target(
            "list: CPU a request to mercurius'",
            at_most(1.0),
            of.worst_of_both(LIST, MERCURIUS, figure::CPU, f64::max),
        ),
        target(
            "list: requests/s to the bare handler's",
            at_least(0.25),
            of.worst_of_both(LIST, BARE, figure::REQUESTS, f64::min),
        ),
        target(
            "list: CPU a request of page 4 000 to page 1",
            at_most(1.2),
            of.ratio((DEEP, MADANG, 16), (FIRST, MADANG, 16), figure::CPU),
        ),
        target(
            "list: CPU a request with ten times the rows",
            at_most(1.2),
            of.ratio(
                (BIG, MADANG, 16),
                (BIG, "madang, the rows of the others", 16),
                figure::CPU,
            ),
        ),
        target(
            "post with 20 comments: requests/s to the bare handler's",
            at_least(0.25),
            of.worst_of_both(POST, BARE, figure::REQUESTS, f64::min),
        ),
        target(
            "create, 32 writers: requests/s to PocketBase's at synchronous=NORMAL",
            at_least(2.0),
            of.ratio(
                (CREATE, MADANG, 32),
                (CREATE, POCKETBASE, 32),
                figure::REQUESTS,
            ),
        ),
        target(
            "create: 64 writers to one",
            at_least(3.0),
            of.ratio((CREATE, MADANG, 64), (CREATE, MADANG, 1), figure::REQUESTS),
        ),
        target(
            "log-in: requests/s to PocketBase's",
            at_least(1.2),
            of.ratio(
                (LOG_IN, MADANG, sign_in::CONNECTIONS),
                (LOG_IN, POCKETBASE, sign_in::CONNECTIONS),
                figure::REQUESTS,
            ),
        ),
        target(
            "list: p99 under 50 log-ins/s to p99 alone",
            at_most(3.0),
            of.ratio(
                (BESIDE, MADANG, sign_in::CONNECTIONS),
                (ALONE, MADANG, sign_in::CONNECTIONS),
                figure::P99,
            ),
        ),
        target(
            "start to first answer to PocketBase's",
            at_most(1.0),
            of.ratio((START, MADANG, 0), (START, POCKETBASE, 0), figure::START),
        ),
        target(
            "resident memory idle, MiB",
            at_most(25.0),
            results.median(START, MADANG, 0, figure::IDLE),
        ),
        target(
            "resident memory after any load, MiB",
            at_most(100.0),
            of.greatest(figure::RSS),
        ),
    ]
}

type Row = (&'static str, &'static str, u32);

struct Of<'a>(&'a Results);

impl Of<'_> {
    /// The median of one to that of another.
    fn ratio(&self, one: Row, other: Row, figure: &str) -> Option<f64> {
        let median = |row: Row| self.0.median(row.0, row.1, row.2, figure);
        Some(median(one)? / median(other)?)
    }

    /// The worse of the ratios at 16 and 32 connections.
    fn worst_of_both(
        &self,
        scenario: &'static str,
        who: &'static str,
        figure: &str,
        worse: fn(f64, f64) -> f64,
    ) -> Option<f64> {
        CONNECTIONS
            .iter()
            .map(|n| self.ratio((scenario, MADANG, *n), (scenario, who, *n), figure))
            .reduce(|one, other| Some(worse(one?, other?)))
            .flatten()
    }

    fn greatest(&self, figure: &str) -> Option<f64> {
        let rows = self.0.rows().into_iter().filter(|row| row.1 == MADANG);
        rows.filter_map(|row| Some(self.0.spread(row.0, row.1, row.2, figure)?.max))
            .reduce(f64::max)
    }
}
