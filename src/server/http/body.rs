//! Reads a body that may be too large, too slow or incomplete.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::{
    budget::Arriving,
    error::{Error, Result},
};

/// How long the rest of a body that is too large is read and discarded. A client reads the response only after sending
/// everything. If the connection were closed earlier, it would see a broken connection instead of the response.
const LINGER: Duration = Duration::from_secs(5);

/// The whole body, of at most `limit` bytes and within `time`. Bytes beyond the limit are never stored, and those that
/// have come are counted by `arriving`.
///
/// # Errors
/// `TOO_LARGE`, `TIMEOUT`, `BAD_REQUEST` when the connection breaks, and those of `arriving`.
pub async fn read(
    mut body: Body,
    headers: &HeaderMap,
    limit: usize,
    time: Duration,
    mut arriving: Arriving,
) -> Result<Bytes> {
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
    let whole = timeout(time, collect(&mut body, &mut arriving, limit));
    match whole.await.map_err(|_| Error::Timeout)?? {
        Some(bytes) => Ok(bytes),
        None => {
            discard(body).await;
            Err(too_large)
        }
    }
}

/// `None` as soon as there are more than `limit` bytes.
async fn collect(body: &mut Body, arriving: &mut Arriving, limit: usize) -> Result<Option<Bytes>> {
    let mut whole = BytesMut::new();
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
            arriving.add(data.len())?;
            whole.extend_from_slice(data);
        }
    }
    Ok(Some(whole.freeze()))
}

/// Reads and discards a body, for at most [`LINGER`].
pub async fn discard(mut body: Body) {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    // Whether the body or the time has ended: either way, stop reading.
    let _ = timeout(LINGER, rest).await;
}
