//! Pages that are embedded in the program: GraphiQL and the chat page. They load nothing from other hosts and work offline.
//! `build.sh` in `web/graphiql` and `web/chat` builds and compresses their files.

use std::{
    io::Read,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::{Buf, Bytes, buf::Reader};
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use sha2::{Digest, Sha256};

/// A file in the program.
#[derive(Clone, Copy)]
pub struct File {
    path: &'static str,
    content_type: &'static str,
    gzip: &'static [u8],
}

/// The files of the page in this folder.
macro_rules! page {
    ($folder:literal) => {
        [
            File {
                path: concat!("/", $folder),
                content_type: "text/html; charset=utf-8",
                gzip: include_bytes!(concat!($folder, "/index.html.gz")),
            },
            File {
                path: concat!("/", $folder, "/main.js"),
                content_type: "text/javascript; charset=utf-8",
                gzip: include_bytes!(concat!($folder, "/main.js.gz")),
            },
            File {
                path: concat!("/", $folder, "/main.css"),
                content_type: "text/css; charset=utf-8",
                gzip: include_bytes!(concat!($folder, "/main.css.gz")),
            },
            File {
                path: concat!("/", $folder, "/licenses.txt"),
                content_type: "text/plain; charset=utf-8",
                gzip: include_bytes!(concat!($folder, "/licenses.txt.gz")),
            },
        ]
    };
}

pub const GRAPHIQL: [File; 4] = page!("graphiql");
pub const CHAT: [File; 4] = page!("chat");

/// A route for each file, with this Content-Security-Policy.
pub fn routes<S: Clone + Send + Sync + 'static>(
    files: [File; 4],
    policy: HeaderValue,
) -> Router<S> {
    files.into_iter().fold(Router::new(), |router, file| {
        let path = file.path;
        let served = Arc::new(Served::new(file, policy.clone()));
        router.route(
            path,
            get(async move |headers: HeaderMap| served.answer(&headers)),
        )
    })
}

struct Served {
    gzip: Bytes,
    /// Browsers revalidate each time: a new server may have a new page.
    headers: HeaderMap,
    etag: HeaderValue,
}

impl Served {
    fn new(file: File, policy: HeaderValue) -> Self {
        let digest = Sha256::digest(file.gzip);
        let hex: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
        // Weak, since the same file is sent both compressed and uncompressed.
        let etag = HeaderValue::try_from(format!("W/\"{hex}\""))
            .unwrap_or(HeaderValue::from_static("W/\"\""));
        let headers = HeaderMap::from_iter([
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static(file.content_type),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::ETAG, etag.clone()),
        ]);
        Self {
            gzip: Bytes::from_static(file.gzip),
            headers,
            etag,
        }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let headers = self.headers.clone();
        let known = request.get(header::IF_NONE_MATCH);
        if known.is_some_and(|known| is_listed(known, &self.etag)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        if accepts_gzip(request) {
            let encoding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
            return (headers, encoding, self.gzip.clone()).into_response();
        }
        let plain = Inflating(GzDecoder::new(self.gzip.clone().reader()));
        (headers, Body::new(plain)).into_response()
    }
}

/// Inflates a file while the client reads it. Inflated at once, it would take megabytes for each slow client.
struct Inflating(GzDecoder<Reader<Bytes>>);

/// Bytes that are inflated at a time.
const PART: usize = 64 << 10;

impl http_body::Body for Inflating {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let mut part = vec![0; PART];
        Poll::Ready(match self.0.read(&mut part) {
            Ok(0) => None,
            Ok(length) => {
                part.truncate(length);
                Some(Ok(Frame::data(part.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }
}

fn is_listed(known: &HeaderValue, etag: &HeaderValue) -> bool {
    known.to_str().is_ok_and(|known| {
        known
            .split(',')
            .any(|one| one.trim() == "*" || one.trim().as_bytes() == etag.as_bytes())
    })
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let is_excluded = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            matches!(name.trim(), "gzip" | "*") && !is_excluded
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    fn page() -> Served {
        let [page, ..] = GRAPHIQL;
        Served::new(page, HeaderValue::from_static("default-src 'self'"))
    }

    #[tokio::test]
    async fn who_takes_no_gzip_gets_the_file_itself() {
        for (encodings, is_compressed) in [
            ("gzip, deflate, br", true),
            ("*", true),
            ("gzip;q=0, identity", false),
            ("br", false),
        ] {
            let answer = page().answer(&request(header::ACCEPT_ENCODING, encodings));

            let has_encoding = answer.headers().contains_key(header::CONTENT_ENCODING);
            let body = axum::body::to_bytes(answer.into_body(), usize::MAX)
                .await
                .unwrap();
            assert_eq!(has_encoding, is_compressed, "{encodings}");
            assert_eq!(body.starts_with(b"<!doctype html>"), !is_compressed);
        }
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let page = page();
        let etag = page.etag.to_str().unwrap().to_owned();
        let known = HeaderValue::try_from(format!("W/\"other\", {etag}")).unwrap();

        let same = page.answer(&HeaderMap::from_iter([(header::IF_NONE_MATCH, known)]));
        let other = page.answer(&request(header::IF_NONE_MATCH, "W/\"other\""));

        assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(other.status(), StatusCode::OK);
    }
}
