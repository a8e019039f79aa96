//! The results as tables, on the screen and in docs/PERFORMANCE.md.

use std::{fs, path::Path};

use anyhow::Context;

use crate::{
    args::Args,
    machine, plot,
    results::{Results, Spread, figure, number},
    targets::{self, Bound, Target},
};

const FIRST_MARK: &str = "<!-- BENCH_START -->";
const LAST_MARK: &str = "<!-- BENCH_END -->";

/// The tables, in Markdown.
pub fn tables(results: &Results) -> String {
    let columns = [
        ("requests/s", figure::REQUESTS),
        ("p50 ms", figure::P50),
        ("p99 ms", figure::P99),
        ("CPU ms/request", figure::CPU),
        ("RSS MiB", figure::RSS),
    ];
    let loads = table(results, &["connections"], &columns, |row| {
        vec![row.2.to_string()]
    });
    let columns = [
        ("first answer ms", figure::START),
        ("idle RSS MiB", figure::IDLE),
    ];
    let starts = table(results, &[], &columns, |_| Vec::new());
    let columns = [
        ("log-ins/s answered", figure::LOG_INS),
        ("failed", figure::FAILED),
    ];
    let log_ins = table(results, &[], &columns, |_| Vec::new());
    [
        loads,
        starts,
        log_ins,
        asked(&targets::all(results)),
        remarks(results),
    ]
    .into_iter()
    .filter(|part| !part.is_empty())
    .collect::<Vec<_>>()
    .join("\n")
}

/// A line for each row that has the first of the columns.
fn table(
    results: &Results,
    more_heads: &[&str],
    columns: &[(&str, &str)],
    more: impl Fn(&(&'static str, &'static str, u32)) -> Vec<String>,
) -> String {
    let mut heads = vec!["", ""];
    heads.extend(more_heads);
    heads.extend(columns.iter().map(|column| column.0));
    let mut text = String::new();
    for row in results.rows() {
        let spread = |figure| results.spread(row.0, row.1, row.2, figure);
        if spread(columns[0].1).is_none() {
            continue;
        }
        let mut cells = vec![row.0.to_owned(), row.1.to_owned()];
        cells.extend(more(&row));
        cells.extend(
            columns
                .iter()
                .map(|c| spread(c.1).map_or("–".to_owned(), cell)),
        );
        text += &format!("| {} |\n", cells.join(" | "));
    }
    if text.is_empty() {
        return text;
    }
    let rule = heads.iter().enumerate();
    let rule: String = rule
        .map(|(n, _)| if n < 2 { "---|" } else { "---:|" })
        .collect();
    format!("| {} |\n|{rule}\n{text}", heads.join(" | "))
}

fn cell(spread: Spread) -> String {
    let [min, median, max] = [spread.min, spread.median, spread.max].map(number);
    if min == max {
        format!("**{median}**")
    } else {
        format!("{min} / **{median}** / {max}")
    }
}

fn asked(targets: &[Target]) -> String {
    let mut text = "| target | asked | measured | |\n|---|---:|---:|---|\n".to_owned();
    for target in targets {
        let bound = match target.bound {
            Bound::AtLeast(least) => format!("≥ {least}"),
            Bound::AtMost(most) => format!("≤ {most}"),
        };
        let measured = target.measured.map_or("–".to_owned(), number);
        let verdict = match target.is_reached() {
            Some(true) => "reached",
            Some(false) => "**not reached**",
            None => "not measured",
        };
        text += &format!("| {} | {bound} | {measured} | {verdict} |\n", target.what);
    }
    text
}

/// What a reader has to know of this very run.
fn remarks(results: &Results) -> String {
    let of = |name: &str| {
        let figures = results.lines.iter().filter_map(|l| l.figures.get(name));
        figures.copied().collect::<Vec<_>>()
    };
    let bad: f64 = of(figure::BAD).iter().sum();
    let foreign = of(figure::FOREIGN);
    let spoilt = foreign.iter().filter(|cores| **cores > 0.1).count();
    format!(
        "Answers that were not a success: {bad}. Runs while other programs used more than a tenth of a core: {spoilt} of {}; \
         they are left out where the same figure has others.\n",
        foreign.len()
    )
}

/// Writes docs/PERFORMANCE.md and docs/performance.svg.
///
/// # Errors
/// The marks are not there, or the files cannot be written.
pub fn write(args: &Args, results: &Results) -> anyhow::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let path = docs.join("PERFORMANCE.md");
    let text = fs::read_to_string(&path)?;
    let marks = text.find(FIRST_MARK).zip(text.find(LAST_MARK));
    let (first, last) = marks.context("docs/PERFORMANCE.md has lost its marks")?;
    let conditions: String = machine::conditions(args)
        .iter()
        .map(|line| format!("- {line}\n"))
        .collect();
    let new = format!(
        "{}{FIRST_MARK}\n\nMeasured on {} by `cargo bench --bench forum --{}`.\n\n{conditions}\n\
         ![Requests a second, beside others](performance.svg)\n\n{}\n{}",
        &text[..first],
        machine::day(args),
        flags(args),
        tables(results),
        &text[last..]
    );
    fs::write(&path, new)?;
    fs::write(docs.join("performance.svg"), plot::svg(results))?;
    Ok(())
}

fn flags(args: &Args) -> String {
    let flag = |is_set, name: &str| {
        if is_set {
            format!(" {name}")
        } else {
            String::new()
        }
    };
    [
        flag(args.peers, "--peers"),
        flag(args.big, "--big"),
        flag(args.write, "--write"),
    ]
    .concat()
}
