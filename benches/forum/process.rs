//! Servers as processes: started, waited for, measured through /proc, and ended.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::http::Request;

/// Ticks of /proc a second: the same on every architecture of Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// A server that was started here, and ends when this is dropped.
pub struct Server {
    child: Child,
    started: Instant,
    pub port: u16,
}

/// A port that is free just now.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Server {
    /// Starts a server that is to listen on `port`. What it says goes to the file `log`.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn start(mut command: Command, port: u16, log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log).with_context(|| log.display().to_string())?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| command.get_program().to_string_lossy().into_owned())?;
        Ok(Self {
            child,
            started,
            port,
        })
    }

    /// Waits for the first answer of success, and says how long after the start it came.
    ///
    /// # Errors
    /// The process ends, or a minute is not enough.
    pub fn first_answer(&mut self, request: &Request) -> anyhow::Result<Duration> {
        loop {
            if let Ok(answer) = request.send(self.port)
                && (200..300).contains(&answer.status)
            {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("a server ended before it answered: {status}; see target/bench/log");
            }
            if self.started.elapsed() > Duration::from_secs(60) {
                bail!("a server did not answer within a minute; see target/bench/log");
            }
            thread::sleep(Duration::from_micros(500));
        }
    }

    /// User and system time of the process and its children, in seconds.
    pub fn cpu(&self) -> f64 {
        let of = |pid: &u32| stat(pid).map_or(0.0, |s| (s.number(11) + s.number(12)) / TICKS);
        self.tree().iter().map(of).sum()
    }

    /// Resident memory of the process and its children, in MiB.
    pub fn rss(&self) -> f64 {
        let of = |pid: &u32| -> Option<f64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        self.tree().iter().filter_map(of).sum::<f64>() / 1024.0
    }

    /// Resident memory that the process itself has had at most, in MiB, since [`Server::forget_peak`].
    pub fn peak(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    /// Forgets the peak, and says what the process has now.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn forget_peak(&self) -> anyhow::Result<f64> {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        Ok(self.peak())
    }

    fn tree(&self) -> Vec<u32> {
        let processes: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid: u32| Some((pid, stat(&pid)?.number(1) as u32)))
            .collect();
        let mut tree = vec![self.child.id()];
        let mut looked_at = 0;
        while looked_at < tree.len() {
            let parent = tree[looked_at];
            tree.extend(processes.iter().filter(|p| p.1 == parent).map(|p| p.0));
            looked_at += 1;
        }
        tree
    }
}

impl Drop for Server {
    /// Waits for the children as well: what still winds up would stand in the way of who is measured next.
    fn drop(&mut self) {
        let tree = self.tree();
        // By the command, since the standard library only kills.
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        for _ in 0..if asked.is_ok() { 200 } else { 0 } {
            let has_ended = !matches!(self.child.try_wait(), Ok(None));
            if has_ended && tree.iter().all(|pid| stat(pid).is_none()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        if self.child.kill().is_ok() {
            _ = self.child.wait();
        }
    }
}

/// The fields of /proc/PID/stat behind the name, the state being the first.
struct Stat(Vec<String>);

impl Stat {
    fn number(&self, field: usize) -> f64 {
        self.0
            .get(field)
            .and_then(|f| f.parse().ok())
            .unwrap_or(0.0)
    }
}

fn stat(pid: &impl std::fmt::Display) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(Stat(fields.split_whitespace().map(str::to_owned).collect()))
}

/// User and system time of this program and of the children that it has waited for, wrk above all, in seconds.
pub fn own_cpu() -> f64 {
    let fields = 11..=14;
    stat(&"self").map_or(0.0, |s| fields.map(|f| s.number(f)).sum::<f64>() / TICKS)
}

/// User and system time of the whole machine, interrupts left out, in seconds.
pub fn machine_cpu() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let of_all = text.lines().next().unwrap_or_default().split_whitespace();
    let ticks = of_all.skip(1).take(3).filter_map(|f| f.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}
