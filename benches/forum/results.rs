//! What was measured: raw lines, kept as JSON, and what they come to.

use std::{collections::BTreeMap, fs::File, io::Write, path::Path};

use serde::Serialize;

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub scenario: &'static str,
    pub who: &'static str,
    pub connections: u32,
    pub figures: BTreeMap<&'static str, f64>,
}

/// The names of figures.
pub mod figure {
    pub const REQUESTS: &str = "requests/s";
    pub const P50: &str = "p50 ms";
    pub const P99: &str = "p99 ms";
    /// User and system time of the server for a request.
    pub const CPU: &str = "CPU ms/request";
    pub const RSS: &str = "RSS MiB";
    pub const BAD: &str = "bad answers";
    /// Cores that other programs used meanwhile.
    pub const FOREIGN: &str = "foreign cores";
    pub const START: &str = "start ms";
    pub const IDLE: &str = "idle RSS MiB";
    pub const LOG_INS: &str = "log-ins/s";
    pub const FAILED: &str = "failed log-ins";
}

/// The least, the median and the greatest of some runs.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

pub struct Results {
    pub lines: Vec<Line>,
    file: File,
}

impl Results {
    /// Begins a file of raw lines.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            lines: Vec::new(),
            file: File::create(path)?,
        })
    }

    /// Keeps a line, and says that it is there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn push(
        &mut self,
        scenario: &'static str,
        who: &'static str,
        connections: u32,
        figures: impl IntoIterator<Item = (&'static str, f64)>,
    ) -> anyhow::Result<()> {
        let line = Line {
            scenario,
            who,
            connections,
            figures: figures.into_iter().collect(),
        };
        writeln!(self.file, "{}", serde_json::to_string(&line)?)?;
        let figures: Vec<_> = line
            .figures
            .iter()
            .map(|(name, value)| format!("{name} {}", number(*value)))
            .collect();
        eprintln!("{scenario}, {who}, {connections}: {}", figures.join(", "));
        self.lines.push(line);
        Ok(())
    }

    /// What each scenario was run with, in the order of the first runs.
    pub fn rows(&self) -> Vec<(&'static str, &'static str, u32)> {
        let mut rows = Vec::new();
        for line in &self.lines {
            let row = (line.scenario, line.who, line.connections);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        let first_run = |scenario| self.lines.iter().position(|l| l.scenario == scenario);
        rows.sort_by_key(|row| (first_run(row.0), row.2));
        rows
    }

    /// What the runs came to. Runs while other programs used more than a tenth of a core do not count where others do.
    pub fn spread(
        &self,
        scenario: &str,
        who: &str,
        connections: u32,
        figure: &str,
    ) -> Option<Spread> {
        let all: Vec<&Line> = self
            .lines
            .iter()
            .filter(|l| (l.scenario, l.who, l.connections) == (scenario, who, connections))
            .collect();
        let is_clean = |line: &&&Line| line.figures.get(figure::FOREIGN).is_none_or(|f| *f <= 0.1);
        let clean: Vec<&Line> = all.iter().filter(is_clean).copied().collect();
        let counted = if clean.is_empty() { all } else { clean };
        let mut values: Vec<f64> = counted
            .iter()
            .filter_map(|line| line.figures.get(figure).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        Some(Spread {
            min: *values.first()?,
            median: (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0,
            max: *values.last()?,
        })
    }

    pub fn median(&self, scenario: &str, who: &str, connections: u32, figure: &str) -> Option<f64> {
        Some(self.spread(scenario, who, connections, figure)?.median)
    }
}

/// A figure with as many digits as mean something.
pub fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => {
            let whole = format!("{value:.0}");
            let (head, tail) = whole.split_at(whole.len() - 3);
            format!("{head} {tail}")
        }
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
