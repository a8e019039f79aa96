//! Under what conditions the figures came about.

use std::{fs, process::Command, thread};

use crate::{args::Args, peers};

/// A line each.
pub fn conditions(args: &Args) -> Vec<String> {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let profile = "the bench profile, which is the release profile";
    let mut lines = vec![
        format!("{}, {cores} cores, {}", processor(), memory()),
        format!("{}, kernel {}", system(), said("uname", &["-r"])),
        format!("{}, {profile}; SQLite {}", said("rustc", &["--version"]), rusqlite::version()),
        "wrk, 1 thread, closed loop, on the same cores as the servers; loopback".to_owned(),
        format!(
            "{} × {} s of each figure after {} s of warm-up; {} posts, {} comments",
            args.reps, args.seconds, args.warm, args.posts, args.comments
        ),
        "madang as it is by default (`LOG=info` into a file, `synchronous=FULL`) with `RATE_LIMITS=off`".to_owned(),
    ];
    if args.peers {
        lines.push(peers::versions().to_owned());
    }
    lines
}

/// The day that is given, else today.
pub fn day(args: &Args) -> String {
    let today = || said("date", &["-u", "+%Y-%m-%d"]);
    args.date.clone().unwrap_or_else(today)
}

fn processor() -> String {
    value_in("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned())
}

fn memory() -> String {
    let kib: Option<f64> = value_in("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok());
    kib.map_or_else(String::new, |kib| {
        format!("{:.0} GiB", kib / 1024.0 / 1024.0)
    })
}

fn system() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn value_in(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| format!("{program} is not here"),
        |o| String::from_utf8_lossy(&o.stdout).trim().to_owned(),
    )
}
