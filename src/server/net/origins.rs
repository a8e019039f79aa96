//! Which web sites may act on behalf of a browser's user.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use url::{Origin, Url};

use crate::config::Config;

/// The sites that may open sockets and use the refresh cookie: PUBLIC_URL, CORS_ORIGINS, and the host's own.
#[derive(Clone)]
pub struct Origins(Arc<[Origin]>);

impl Origins {
    /// As configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let public = config.public_url.0.iter().map(Url::origin);
        let others = config.cors_origins.0.iter().filter_map(|o| origin(o));
        Self(public.chain(others).collect())
    }

    /// The configured origins, as browsers send them.
    pub fn values(&self) -> impl Iterator<Item = HeaderValue> {
        self.0
            .iter()
            .filter_map(|o| HeaderValue::from_str(&o.ascii_serialization()).ok())
    }

    /// Whether a request with these headers comes from one of them, or from no web site at all (no `Origin`). The
    /// host's own origin matches with either scheme, since a proxy may terminate TLS.
    #[must_use]
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let mut sent = headers.get_all(header::ORIGIN).iter();
        let (first, second) = (sent.next(), sent.next());
        match (first.map(HeaderValue::to_str), second) {
            (None, _) => true,
            (Some(Ok(text)), None) => origin(text)
                .is_some_and(|origin| self.0.contains(&origin) || is_own(&origin, headers)),
            _ => false,
        }
    }
}

fn origin(text: &str) -> Option<Origin> {
    let origin = Url::parse(text).ok()?.origin();
    origin.is_tuple().then_some(origin)
}

fn is_own(origin: &Origin, headers: &HeaderMap) -> bool {
    let (Origin::Tuple(scheme, ..), Some(Ok(host))) =
        (origin, headers.get(header::HOST).map(HeaderValue::to_str))
    else {
        return false;
    };
    matches!(scheme.as_str(), "http" | "https")
        && Url::parse(&format!("{scheme}://{host}")).is_ok_and(|own| own.origin() == *origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_sites_and_who_is_no_site_are_admitted() {
        let origins = Origins(
            ["https://forum.example.org", "http://localhost:5173"]
                .iter()
                .filter_map(|o| origin(o))
                .collect(),
        );
        for (sent, host, expected) in [
            (&[][..], "a.test", true),
            (&["https://forum.example.org"], "a.test", true),
            (&["https://forum.example.org:443"], "a.test", true),
            (&["http://forum.example.org"], "a.test", false),
            (&["http://localhost:5173"], "a.test", true),
            (&["http://localhost:5174"], "a.test", false),
            (&["http://a.test:8000"], "a.test:8000", true),
            (&["https://a.test"], "a.test:443", true),
            (&["http://a.test"], "a.test:8000", false),
            (&["http://[::1]:8000"], "[::1]:8000", true),
            (&["null"], "a.test", false),
            (&["file://"], "a.test", false),
            (&["nonsense"], "a.test", false),
            (&["http://a.test", "http://evil.test"], "a.test", false),
            (&["http://a.test.evil.test"], "a.test", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            for value in sent {
                headers.append(header::ORIGIN, value.parse().unwrap());
            }

            assert_eq!(origins.admit(&headers), expected, "{sent:?} at {host}");
        }
    }
}
