//! Media types of GraphQL over HTTP: what a request is written in and what its answer may be.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The media type of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status says whether the request was good.
    GraphqlResponse,
    /// `application/json`, asked for by name. The specification has a document or variables that do not fit answered with
    /// 200 here, for the sake of old clients, which take any other status for a fault of the network.
    LegacyJson,
    /// `application/json`, since the client takes whatever there is.
    Json,
}

impl Media {
    /// What to answer with, by the `Accept` header (RFC 9110, 12.5.1). `None`: nothing that we have is acceptable.
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let ranges: Vec<Range> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::parse)
            .collect();
        let mut accept = headers.get_all(header::ACCEPT).iter();
        if accept.all(|value| value.as_bytes().trim_ascii().is_empty()) {
            return Some(Self::Json);
        }
        let graphql = best(&ranges, "application/graphql-response+json");
        let json = best(&ranges, "application/json");
        match (graphql, json) {
            (None, None) => None,
            // On a tie the one that was named wins over one that a wildcard covers, and then the newer one.
            (Some(graphql), json) if graphql.is_named && Some(graphql) >= json => {
                Some(Self::GraphqlResponse)
            }
            (Some(graphql), Some(json)) if graphql.quality > json.quality => {
                Some(Self::GraphqlResponse)
            }
            (_, Some(json)) if json.is_named => Some(Self::LegacyJson),
            (_, Some(_)) => Some(Self::Json),
            (Some(_), None) => Some(Self::GraphqlResponse),
        }
    }

    /// The `Content-Type` of the answer.
    #[must_use]
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::LegacyJson | Self::Json => "application/json; charset=utf-8",
        })
    }
}

/// How well an answer fits; greater is better.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Fit {
    quality: f32,
    is_named: bool,
}

/// One element of an `Accept` header.
struct Range<'a> {
    media: &'a str,
    is_utf8: bool,
    quality: f32,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            media: parts.next().filter(|media| !media.is_empty())?,
            is_utf8: true,
            quality: 1.0,
        };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            if name.eq_ignore_ascii_case("q") {
                range.quality = value.parse().unwrap_or(0.0);
            } else if name.eq_ignore_ascii_case("charset") {
                range.is_utf8 = is_utf8(value);
            }
        }
        Some(range)
    }

    /// How closely this range names `media`: 3 by name, 1 by `*/*`, 0 not at all.
    fn precision(&self, media: &str) -> u8 {
        match self.media {
            _ if !self.is_utf8 => 0,
            range if range.eq_ignore_ascii_case(media) => 3,
            range if range.eq_ignore_ascii_case("application/*") => 2,
            "*/*" => 1,
            _ => 0,
        }
    }
}

/// The quality of the range that names `media` most closely, unless that excludes it.
fn best(ranges: &[Range], media: &str) -> Option<Fit> {
    ranges
        .iter()
        .map(|range| (range.precision(media), range.quality))
        .filter(|(precision, _)| *precision > 0)
        .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
        .filter(|(_, quality)| *quality > 0.0)
        .map(|(precision, quality)| Fit {
            quality,
            is_named: precision == 3,
        })
}

/// Whether a body is JSON in UTF-8 that is not compressed: the only kind of request that we read. Since a page of another
/// site cannot send this media type without a CORS preflight, it is also what keeps mutations from being forged.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = only(headers, header::CONTENT_TYPE) else {
        return false;
    };
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let is_readable = parts
        .filter_map(|p| p.split_once('='))
        .filter(|(name, _)| name.eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| is_utf8(charset));
    let is_plain = !headers.contains_key(header::CONTENT_ENCODING)
        || only(headers, header::CONTENT_ENCODING) == Some("identity");
    is_json && is_readable && is_plain
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn is_utf8(charset: &str) -> bool {
    let bare = charset.trim_matches('"');
    bare.eq_ignore_ascii_case("utf-8") || bare.eq_ignore_ascii_case("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_media_type_is_answered_with() {
        for (accept, expected) in [
            (
                "application/graphql-response+json",
                Some(Media::GraphqlResponse),
            ),
            ("application/json", Some(Media::LegacyJson)),
            ("application/json; charset=utf-8", Some(Media::LegacyJson)),
            ("APPLICATION/JSON", Some(Media::LegacyJson)),
            (
                "application/json, application/graphql-response+json",
                Some(Media::GraphqlResponse),
            ),
            (
                "application/graphql-response+json;q=0.5, application/json",
                Some(Media::LegacyJson),
            ),
            (
                "application/graphql-response+json, */*",
                Some(Media::GraphqlResponse),
            ),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(Media::GraphqlResponse),
            ),
            ("application/json, */*", Some(Media::LegacyJson)),
            ("*/*", Some(Media::Json)),
            ("application/*", Some(Media::Json)),
            ("text/html,*/*;q=0.8", Some(Media::Json)),
            ("application/json;q=0, */*", Some(Media::GraphqlResponse)),
            ("text/html", None),
            ("", Some(Media::Json)),
            ("application/json;q=0", None),
            ("application/json; charset=latin1", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Media::negotiate(&headers), expected, "{accept}");
        }
        assert_eq!(Media::negotiate(&HeaderMap::new()), Some(Media::Json));
    }

    #[test]
    fn only_plain_json_in_utf_8_is_read() {
        for (content_type, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json; charset=iso-8859-1", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("application/graphql", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_json(&headers), expected, "{content_type}");

            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            assert!(!is_json(&headers), "{content_type}, compressed");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
