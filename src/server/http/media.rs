//! Media types of GraphQL over HTTP, of requests and responses.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The media type of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status tells whether the request was valid.
    GraphqlResponse,
    /// `application/json`, named explicitly. Here the specification asks for 200 even for an invalid document or
    /// invalid variables, for old clients that treat any other status as a network error.
    LegacyJson,
    /// `application/json`, because the client accepts anything.
    Json,
}

impl Media {
    /// The media type of the response, by the `Accept` header (RFC 9110, 12.5.1). `None` if nothing is acceptable.
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
            // On a tie, a named type wins over a wildcard, and then the newer type.
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

/// How well a media type fits. Greater is better.
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

    /// How specific this range is for `media`: 3 by name, 1 for `*/*`, 0 if it does not match.
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

/// The quality of the most specific range for `media`, unless that excludes it.
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

/// Whether a body is uncompressed JSON in UTF-8, the only supported kind. Pages of other sites cannot send this media
/// type without a CORS preflight, so this also prevents forged mutations.
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

/// The boundary of a multipart form, if the body is one.
#[must_use]
pub fn boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = only(headers, header::CONTENT_TYPE)?;
    // Nearly every request is something else.
    let kind = content_type.get(..10)?;
    if !kind.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let boundary = multer::parse_boundary(content_type).ok()?;
    let is_plain = !headers.contains_key(header::CONTENT_ENCODING);
    (is_plain && (1..=70).contains(&boundary.len())).then_some(boundary)
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
            let is_form = content_type.starts_with("multipart/");
            assert_eq!(boundary(&headers).is_some(), is_form, "{content_type}");

            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            assert!(!is_json(&headers), "{content_type}, compressed");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
