//! `madang health`: asks the server of this machine whether it is there, for containers that have no other program to ask.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use clap::Args;

#[derive(Args)]
pub struct Health {
    /// Where the server listens.
    #[arg(
        long,
        env = "BIND",
        default_value = "127.0.0.1:8000",
        value_name = "ADDRESS"
    )]
    bind: SocketAddr,
}

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// No server, or one that is ill.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Ill(String);

impl Health {
    pub fn run(self) -> anyhow::Result<()> {
        let address = own(self.bind);
        let ill = |what: String| Ill(format!("the server at {address} {what}"));
        let status = ask(address).map_err(|e| ill(format!("does not answer: {e}")))?;
        if status.contains(" 200 ") {
            Ok(())
        } else {
            Err(ill(format!("answers {status:?}")).into())
        }
    }
}

/// Where this machine reaches a server that listens on all its addresses.
fn own(mut bind: SocketAddr) -> SocketAddr {
    if bind.ip().is_unspecified() {
        bind.set_ip(match bind {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    bind
}

/// The first line of its answer.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut server = TcpStream::connect_timeout(&address, PATIENCE)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    server.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    server.take(16 << 10).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
