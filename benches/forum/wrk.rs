//! The load: wrk, one thread, a closed loop.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::http::Request;

/// What wrk saw. Latencies in milliseconds.
#[derive(Debug, Deserialize)]
pub struct Seen {
    pub requests: f64,
    pub microseconds: f64,
    pub p50: f64,
    pub p99: f64,
    /// Answers of another status than 2xx and 3xx, and connections that failed.
    pub bad: f64,
}

/// Fails with how to install what is missing.
pub fn require() -> anyhow::Result<()> {
    let found = Command::new("wrk").arg("--version").output();
    ensure!(
        found.is_ok(),
        "wrk makes the load and is not here: install it, as in `apt-get install wrk`"
    );
    Ok(())
}

/// Loads the server for so many seconds over so many connections. `folder` takes the script.
///
/// # Errors
/// wrk fails.
pub fn load(
    request: &Request,
    port: u16,
    connections: u32,
    seconds: u64,
    folder: &Path,
) -> anyhow::Result<Seen> {
    paced(request, port, connections, seconds, folder, 0)
}

/// The same, with a pause of so many milliseconds on each connection after a response.
///
/// # Errors
/// wrk fails.
#[allow(dead_code, reason = "not every bench that shares this paces itself")]
pub fn paced(
    request: &Request,
    port: u16,
    connections: u32,
    seconds: u64,
    folder: &Path,
    pause: u32,
) -> anyhow::Result<Seen> {
    let path = folder.join("load.lua");
    let mut script = script(request);
    if pause > 0 {
        script += &format!("function delay() return {pause} end\n");
    }
    fs::write(&path, script)?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--latency", "--timeout", "10s"])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s")])
        .arg("--script")
        .arg(&path)
        .arg(format!("http://127.0.0.1:{port}{}", request.path))
        .output()
        .context("wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|l| l.strip_prefix("SEEN "));
    let line = line.with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("wrk failed: {text}{errors}")
    })?;
    Ok(serde_json::from_str(line)?)
}

fn script(request: &Request) -> String {
    let mut lua = format!("wrk.method = {}\n", quoted(request.method()));
    for (name, value) in &request.headers {
        lua += &format!("wrk.headers[ {} ] = {}\n", quoted(name), quoted(value));
    }
    // wrk repeats the bytes of one request without asking the script.
    if let Some(body) = &request.body {
        lua += &format!("wrk.body = {}\n", quoted(body));
    }
    lua + DONE
}

const DONE: &str = r#"
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\nSEEN {"requests":%d,"microseconds":%d,"p50":%f,"p99":%f,"bad":%d}\n', summary.requests,
    summary.duration, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// Text between brackets of a level that the text does not close.
fn quoted(text: &str) -> String {
    let mut level = String::new();
    while text.contains(&format!("]{level}]")) || text.ends_with(&format!("]{level}")) {
        level.push('=');
    }
    format!("[{level}[{text}]{level}]")
}
