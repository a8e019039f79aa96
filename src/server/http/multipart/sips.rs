//! What the parser is given of a body.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use futures_util::Stream;
use http_body::Body as _;
use parking_lot::Mutex;

/// The most bytes that the parser may hold without finding the end of anything, such as of a part's headers. Twice what
/// a connection buffers.
pub const UNPARSED: usize = 128 << 10;

/// A body in sips. The parser takes all that it can get before it looks at any of it, and it would hold whatever comes
/// while it waits for the end of something. So it gets one piece at a time, and an error when it holds too much.
pub struct Sips {
    pub body: Arc<Mutex<Body>>,
    /// Bytes given since the parser last found anything.
    pub unparsed: Arc<AtomicUsize>,
    pub has_given: bool,
}

impl Stream for Sips {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let frame = Pin::new(&mut *self.body.lock()).poll_frame(cx);
            let bytes = match std::task::ready!(frame) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(std::io::Error::other(error)))),
                Some(Ok(frame)) => frame.into_data(),
            };
            if let Ok(bytes) = bytes {
                let before = self.unparsed.fetch_add(bytes.len(), Ordering::Relaxed);
                if before > UNPARSED {
                    let error = std::io::Error::other("a part does not end");
                    return Poll::Ready(Some(Err(error)));
                }
                self.has_given = true;
                return Poll::Ready(Some(Ok(bytes)));
            }
        }
    }
}
