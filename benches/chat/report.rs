//! What came of a load, in words.

use crate::{Args, load::Measured};

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Subscribers that became ready a second.
    pub connects: f64,
    /// Resident memory of the server for each idle subscriber, above the empty server.
    pub idle_kib: f64,
    /// Resident memory of the server after the load.
    pub highest_mib: f64,
    /// Seconds of the server during the load.
    pub cpu: f64,
    pub measured: Measured,
}

impl Figures {
    /// Seconds of the server for 100 000 deliveries.
    fn per_100_000(&self) -> f64 {
        self.cpu * 1e5 / self.measured.deliveries.max(1) as f64
    }
}

pub fn conditions(args: &Args) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{} subscribers over {} sessions, {} chats/s for {} s; {cores} cores, shared with the load; loopback",
        args.subscribers, args.sessions, args.rate, args.seconds
    )
}

pub fn line(name: &str, figures: &Figures) -> String {
    let m = &figures.measured;
    let mut line = format!(
        "{name:>14}: {:.0} connects/s, {:.1} KiB an idle subscriber, {:.0} MiB in the end",
        figures.connects, figures.idle_kib, figures.highest_mib
    );
    if m.expected > 0 {
        line.push_str(&format!(
            "; {} of {} deliveries ({:.0}/s), p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; {} holes, {} repeats, {} reorders, \
             {} chats refused, {} sockets lost; CPU s: server {:.2} ({:.2} for 100 000 deliveries), load {:.2}",
            m.deliveries,
            m.expected,
            m.deliveries as f64 / m.seconds.max(1e-9),
            m.p50,
            m.p99,
            m.max,
            m.holes,
            m.repeats,
            m.reorders,
            m.failed,
            m.lost_sockets,
            figures.cpu,
            figures.per_100_000(),
            m.cpu,
        ));
    } else {
        line.push_str(&format!("; CPU s while idle: {:.2}", figures.cpu));
    }
    line
}

/// Medians, and the ratios to the first server.
pub fn summary(all: &[(&'static str, Figures)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in all {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let median = |name: &str, of: fn(&Figures) -> f64| {
        let own = all.iter().filter(|(whose, _)| *whose == name);
        let mut values: Vec<f64> = own.map(|(_, figures)| of(figures)).collect();
        values.sort_by(f64::total_cmp);
        (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
    };
    let are_idle = all
        .iter()
        .all(|(_, figures)| figures.measured.expected == 0);
    let lines = names.iter().map(|name| {
        let idle = median(name, |f| f.idle_kib);
        let line = format!("{name:>14}: median {idle:.1} KiB an idle subscriber");
        if are_idle {
            return line;
        }
        let cpu = median(name, Figures::per_100_000);
        let own = median(names[0], Figures::per_100_000);
        format!(
            "{line}, p99 {:.1} ms, {cpu:.2} CPU s for 100 000 deliveries ({} has {:.2} of its deliveries per CPU s)",
            median(name, |f| f.measured.p99),
            names[0],
            cpu / own,
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
