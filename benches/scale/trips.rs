//! Round trips to the engines for each request, by what the engines count.

use std::{
    thread,
    time::{Duration, Instant},
};

use fred::interfaces::ClientLike;
use mysql_async::prelude::Queryable;

use crate::{
    fleet::{Engines, Fleet},
    requests,
};

/// Requests of each kind.
const COUNT: u32 = 200;

/// What the engines have answered so far.
#[derive(Clone, Copy)]
struct Counted {
    statements: f64,
    commands: f64,
}

impl Engines {
    async fn counted(&self) -> anyhow::Result<Counted> {
        let mut conn = mysql_async::Conn::from_url(&self.mysql).await?;
        // Statements and what prepares them.
        let row: Option<(String, String)> = conn
            .query_first("SHOW GLOBAL STATUS LIKE 'Questions'")
            .await?;
        let prepared: Option<(String, String)> = conn
            .query_first("SHOW GLOBAL STATUS LIKE 'Com_stmt_prepare'")
            .await?;
        conn.disconnect().await?;
        let number = |row: Option<(String, String)>| -> f64 {
            row.and_then(|(_, value)| value.parse().ok()).unwrap_or(0.0)
        };
        let stats: String = self.redis.info(Some(fred::types::InfoKind::Stats)).await?;
        let commands = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        Ok(Counted {
            statements: number(row) + number(prepared),
            commands: commands.and_then(|c| c.trim().parse().ok()).unwrap_or(0.0),
        })
    }
}

/// Counts and prints them.
///
/// # Errors
/// A request fails.
pub fn measure(fleet: &Fleet) -> anyhow::Result<()> {
    let counted = || fleet.runtime.block_on(fleet.engines.counted());
    thread::sleep(Duration::from_secs(3));
    // What goes on without requests: heartbeats, workers, leases.
    let (before, began) = (counted()?, Instant::now());
    thread::sleep(Duration::from_secs(5));
    let (after, seconds) = (counted()?, began.elapsed().as_secs_f64());
    // Asking counts itself: two or three statements and a command.
    let statements = (after.statements - before.statements) / seconds;
    let commands = (after.commands - before.commands) / seconds;
    println!(
        "two servers and a worker without requests: {statements:.1} statements and {commands:.1} commands a second\n"
    );
    println!(
        "| a request, alone | statements of MariaDB | commands of Redis | ms |\n|---|---|---|---|"
    );
    for (name, request) in requests::kinds(fleet, 0) {
        let port = fleet.servers[0].port;
        for _ in 0..40 {
            requests::check(&request.json(port)?)?;
        }
        let (before, began) = (counted()?, Instant::now());
        for _ in 0..COUNT {
            requests::check(&request.json(port)?)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        let after = counted()?;
        let of_one = |after: f64, before: f64, idle: f64| {
            ((after - before - idle * seconds) / f64::from(COUNT)).max(0.0)
        };
        println!(
            "| {name} | {:.1} | {:.1} | {:.2} |",
            of_one(after.statements, before.statements, statements),
            of_one(after.commands, before.commands, commands),
            seconds * 1e3 / f64::from(COUNT)
        );
    }
    println!();
    Ok(())
}
