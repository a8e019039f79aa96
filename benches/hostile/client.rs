//! A client that follows no rules: bytes over TCP, from an address of its own.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// A connection from the address of attackers.
///
/// # Errors
/// Nobody listens, or nobody accepts.
pub async fn connect(port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 6, 6), 0).into())?;
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
}

/// The head and the body of a request.
pub fn post(content_type: &str, more: &str, length: usize, body: &str) -> String {
    format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n{more}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends a request on a connection that is kept, or on a new one, and reads the answer, for a minute at most. A connection
/// that ends is forgotten.
pub async fn ask(kept: &mut Option<TcpStream>, port: u16, request: &str) {
    let asked = async {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => connect(port).await?,
        };
        stream.write_all(request.as_bytes()).await?;
        if read(&mut stream).await? {
            *kept = Some(stream);
        }
        io::Result::Ok(())
    };
    if !matches!(timeout(Duration::from_secs(60), asked).await, Ok(Ok(()))) {
        // The next attempt is not faster than a failing one.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether a whole answer came, after which the connection can be used again.
async fn read(stream: &mut TcpStream) -> io::Result<bool> {
    let (mut bytes, mut part) = (Vec::new(), vec![0; 32 << 10]);
    loop {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            return Ok(false);
        }
        bytes.extend_from_slice(&part[..read]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1);
        let Some(length) = length.and_then(|rest| rest.lines().next()?.parse::<usize>().ok())
        else {
            return Ok(false);
        };
        if bytes.len() >= end + 4 + length {
            return Ok(!head.contains("connection: close"));
        }
    }
}
