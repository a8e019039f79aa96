//! Reads a body that may be too large, too slow or incomplete.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use tokio::{sync::Semaphore, task::yield_now, time::timeout};

use crate::{
    budget::Arriving,
    error::{Error, Result},
};

/// How long the rest of a body that is too large is read and discarded. A client reads the response only after sending
/// everything. If the connection were closed earlier, it would see a broken connection instead of the response.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes by which the memory for a body grows, at least.
const STEP: usize = 64 << 10;
/// How many tasks with more to read wait in the runtime's queue at once. The others wait for these, so that tasks of all
/// other kinds wait for a few large bodies only, however many there are.
const READERS: usize = 2;
/// A place in the runtime's queue for a task with more to read.
static TURNS: Semaphore = Semaphore::const_new(READERS);

/// The whole body, of at most `limit` bytes and within `time`. Bytes beyond the limit are never stored. What is stored is
/// counted by `arriving`.
///
/// # Errors
/// `TOO_LARGE`, `TIMEOUT`, `BAD_REQUEST` when the connection breaks, and those of `arriving`.
pub async fn read(
    mut body: Body,
    headers: &HeaderMap,
    limit: usize,
    time: Duration,
    arriving: &mut Arriving,
) -> Result<Vec<u8>> {
    let too_large = Error::TooLarge {
        limit: limit as u64,
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        // A client that waits for `100 Continue` has not begun to send the body.
        let waits = headers
            .get(header::EXPECT)
            .map(HeaderValue::as_bytes)
            .is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
        if !waits {
            discard(body).await;
        }
        return Err(too_large);
    }
    let whole = timeout(time, collect(&mut body, arriving, limit));
    match whole.await.map_err(|_| Error::Timeout)?? {
        Some(bytes) => Ok(bytes),
        None => {
            discard(body).await;
            Err(too_large)
        }
    }
}

/// `None` as soon as there are more than `limit` bytes.
async fn collect(
    body: &mut Body,
    arriving: &mut Arriving,
    limit: usize,
) -> Result<Option<Vec<u8>>> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Error::bad_request(
                "The body could not be read.",
                "요청 본문을 읽을 수 없습니다.",
            )
        })?;
        if let Some(data) = frame.data_ref() {
            if whole.len() + data.len() > limit {
                return Ok(None);
            }
            let free = whole.capacity() - whole.len();
            if free < data.len() {
                // The first frame is mostly all there is. Growing by the same step each time would copy a large body often.
                let before = whole.capacity();
                let step = if whole.is_empty() {
                    0
                } else {
                    STEP.max(before)
                };
                whole.reserve_exact(data.len().max(step.min(limit - whole.len())));
                arriving.add(whole.capacity() - before)?;
            }
            whole.extend_from_slice(data);
            let_others(data.len()).await;
        }
    }
    Ok(Some(whole))
}

/// Reads and discards a body, for at most [`LINGER`].
pub async fn discard(mut body: Body) {
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let_others(frame.data_ref().map_or(0, Bytes::len)).await;
        }
    };
    // Whether the body or the time has ended: either way, stop reading.
    let _ = timeout(LINGER, rest).await;
}

/// Lets other tasks run after so many bytes were read: a fast client has more at once, and others must not wait for all of
/// it.
async fn let_others(read: usize) {
    if read > STEP / 4 {
        // It is never closed, and nobody waits for bytes while having a turn.
        let _turn = TURNS.acquire().await;
        yield_now().await;
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "nobody shuts a test down, which waits for its tasks itself"
)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
    };

    use futures_util::{StreamExt, future::join_all, stream};

    use super::*;

    const BODIES: usize = 50;
    const FRAMES: usize = 20;

    #[tokio::test]
    async fn other_tasks_wait_for_a_few_large_bodies_only() {
        let read = Arc::new(AtomicUsize::new(0));
        let bodies = (0..BODIES).map(|_| {
            let read = Arc::clone(&read);
            let frames = stream::iter(0..FRAMES).map(move |_| {
                read.fetch_add(1, SeqCst);
                Ok::<_, Infallible>(vec![b' '; STEP])
            });
            tokio::spawn(discard(Body::from_stream(frames)))
        });
        let bodies: Vec<_> = bodies.collect();

        // Each has read its first frame by then.
        yield_now().await;
        let mut most = 0;
        for _ in 0..BODIES * FRAMES {
            let before = read.load(SeqCst);
            yield_now().await;
            most = most.max(read.load(SeqCst) - before);
        }

        assert_eq!(read.load(SeqCst), BODIES * FRAMES);
        assert!(most <= READERS, "{most} at once");
        join_all(bodies).await;
    }
}
