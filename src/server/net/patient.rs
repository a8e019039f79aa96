//! A connection that breaks when the client does not read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// The bytes that a client must read in each period.
const SHARE: usize = 16 << 10;

/// The bytes that the operating system buffers. Its default is megabytes, which would hide for a long time that a
/// client does not read.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 128 << 10;

/// A connection that breaks when its client reads less than 16 KiB within `patience` while there is something to read.
/// Only time during which nothing could be written counts.
pub struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// How long writing has been blocked since the last portion was read.
    waited: Duration,
    /// The bytes that were read since then.
    taken: usize,
    /// Since when writing is blocked, and when that becomes too long.
    held_up: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patient {
    /// `stream`, with this much patience.
    pub fn new(stream: TcpStream, patience: Duration) -> Self {
        // These are optional. Responses are written whole, so waiting for more data only delays them.
        let _ = stream.set_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        Self {
            stream,
            patience,
            waited: Duration::ZERO,
            taken: 0,
            held_up: None,
        }
    }

    fn written(&mut self, bytes: usize, offered: usize) {
        if let Some((since, _)) = self.held_up.take() {
            self.waited += since.elapsed();
        } else if bytes == offered {
            // Nothing is waiting: the client keeps up.
            self.taken = SHARE;
        }
        self.taken += bytes;
        if self.taken >= SHARE {
            self.taken = 0;
            self.waited = Duration::ZERO;
        }
    }

    /// Waits, with an end.
    fn hold_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let left = self.patience.saturating_sub(self.waited);
        let (_, end) = self
            .held_up
            .get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(end.as_mut().poll(cx));
        // Also discards what the system still buffers, since the connection is closed in any case.
        let _ = self.stream.set_zero_linger();
        Poll::Ready(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read",
        ))
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match write(Pin::new(&mut self.stream), cx) {
            Poll::Ready(written) => {
                if let Ok(bytes) = written {
                    self.written(bytes, offered);
                }
                Poll::Ready(written)
            }
            Poll::Pending => self.hold_up(cx).map(Err),
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, buf.len(), |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        self.write(cx, offered, |stream, cx| {
            stream.poll_write_vectored(cx, bufs)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "nobody shuts a test down, which waits for its tasks itself"
)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    use super::*;

    const LARGE: usize = 32 << 20;

    /// A client that reads little at a time, and the connection to it.
    async fn pair(patience: Duration) -> (TcpStream, Patient) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let client = socket.connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), Patient::new(accepted.unwrap().0, patience))
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(60), future).await.unwrap()
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_off() {
        let (mut client, mut server) = pair(Duration::from_millis(200)).await;

        let written = within(server.write_all(&vec![7; LARGE])).await;

        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(server);
        let mut rest = Vec::new();
        let read = within(client.read_to_end(&mut rest)).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_client_that_sips_is_cut_off() {
        let (mut client, mut server) = pair(Duration::from_millis(300)).await;
        let sipping = tokio::spawn(async move {
            let mut sip = [0; 16];
            while client.read(&mut sip).await.is_ok_and(|n| n > 0) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });

        let written = within(server.write_all(&vec![7; LARGE])).await;

        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(server);
        within(sipping).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_gets_everything_and_idleness_does_not_count() {
        let (mut client, mut server) = pair(Duration::from_secs(3)).await;
        let reading = tokio::spawn(async move {
            let (mut taken, mut buffer) = (0, vec![0; 256 << 10]);
            while taken < 2 * LARGE {
                taken += client.read(&mut buffer).await.unwrap();
                if taken < 2 << 20 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });

        within(server.write_all(&vec![7; LARGE])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3_200)).await;
        within(server.write_all(&vec![7; LARGE])).await.unwrap();

        within(reading).await.unwrap();
    }
}
