//! A proxy in front of a MySQL server that cuts the connection at a statement, as if the client had been killed there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// On which side of a statement it cuts.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// The server never gets it.
    Before,
    /// The server has run it; its answer does not arrive.
    After,
}

/// Statements that went through, and where to cut.
struct Plan {
    seen: AtomicUsize,
    at: usize,
    cut: Cut,
}

/// A proxy for the server of `url` that cuts at the statement of this number, and its own URL. Counts in the counter.
pub async fn proxy(url: &str, at: usize, cut: Cut) -> String {
    let mut own = url::Url::parse(url).unwrap();
    let server = format!("{}:{}", own.host_str().unwrap(), own.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    own.set_port(Some(listener.local_addr().unwrap().port()))
        .unwrap();
    let plan = Arc::new(Plan {
        seen: AtomicUsize::new(0),
        at,
        cut,
    });
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, plan) = (TcpStream::connect(&server).await, Arc::clone(&plan));
            tokio::spawn(async move {
                // Broken on purpose, or by the client's end.
                let _ = relay(client, server?, &plan).await;
                std::io::Result::Ok(())
            });
        }
    });
    own.into()
}

async fn relay(client: TcpStream, server: TcpStream, plan: &Plan) -> std::io::Result<()> {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let is_cutting = Arc::new(AtomicBool::new(false));
    let answers = tokio::spawn(answer(from_server, to_client, Arc::clone(&is_cutting)));
    loop {
        let packet = packet(&mut from_client).await?;
        let is_here = is_statement(&packet) && plan.seen.fetch_add(1, Ordering::SeqCst) == plan.at;
        if !is_here {
            to_server.write_all(&packet).await?;
            continue;
        }
        if matches!(plan.cut, Cut::After) {
            is_cutting.store(true, Ordering::SeqCst);
            to_server.write_all(&packet).await?;
            // Ends with the answer that it swallows.
            let _ = answers.await;
        } else {
            answers.abort();
        }
        return Ok(());
    }
}

/// One packet of the MySQL protocol: three bytes of length, a number, and so many bytes.
async fn packet(client: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    client.read_exact(&mut packet).await?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(4 + length, 0);
    client.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

/// COM_QUERY or COM_STMT_EXECUTE, which begin a conversation.
fn is_statement(packet: &[u8]) -> bool {
    packet[3] == 0 && matches!(packet.get(4), Some(0x03 | 0x17))
}

async fn answer(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    is_cutting: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let mut part = vec![0; 16 << 10];
    loop {
        let length = server.read(&mut part).await?;
        if length == 0 || is_cutting.load(Ordering::SeqCst) {
            return Ok(());
        }
        client.write_all(&part[..length]).await?;
    }
}
