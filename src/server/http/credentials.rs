//! The credentials of a request: a bearer token and the refresh cookie.

use http::{HeaderMap, header};

use crate::{
    access::{Actor, SIGN_IN_OPERATIONS},
    accounts::tokens::REFRESH_COOKIE,
    error::{Error, ErrorCode, Result},
    server::net::Authenticator,
};

/// The actor, by the `Authorization` header, of a request for these root fields.
///
/// # Errors
/// `TOKEN_INVALID`, also for another scheme than Bearer and for several headers; `TOKEN_EXPIRED`; `BANNED`;
/// `UNAVAILABLE` when the token cannot be checked.
pub async fn actor(
    authenticator: &dyn Authenticator,
    headers: &HeaderMap,
    root_fields: &[String],
) -> Result<Actor> {
    let found = match bearer(headers) {
        Ok(None) => Ok(Actor::Anonymous),
        Ok(Some(token)) => authenticator.bearer(token).await,
        Err(error) => Err(error),
    };
    let is_indifferent = || {
        let signs_in = |field: &String| SIGN_IN_OPERATIONS.contains(&field.as_str());
        root_fields.iter().any(signs_in)
            && root_fields
                .iter()
                .all(|field| signs_in(field) || field == "__typename")
    };
    match found {
        Err(error) if is_of_token(&error) && is_indifferent() => Ok(Actor::Anonymous),
        found => found,
    }
}

/// Whether an error means that the token is invalid, and not that it cannot be checked.
pub fn is_of_token(error: &Error) -> bool {
    matches!(
        error.code(),
        ErrorCode::TokenInvalid
            | ErrorCode::TokenExpired
            | ErrorCode::Banned
            | ErrorCode::Unauthenticated
    )
}

fn bearer(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| Error::TokenInvalid)?,
        (Some(_), Some(_)) => return Err(Error::TokenInvalid),
    };
    // What clients without a token send, as in Apollo's own example.
    if value.trim().is_empty() {
        return Ok(None);
    }
    match value.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim().to_owned()))
        }
        _ => Err(Error::TokenInvalid),
    }
}

/// The refresh token, if the cookie is present, even if it is empty.
pub fn refresh_cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == REFRESH_COOKIE)
        .map(|(_, token)| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_bearer_is_one_header_with_a_token() {
        let bearer = |values| super::bearer(&headers(header::AUTHORIZATION, values));
        for none in [&[][..], &[""], &["  "]] {
            assert!(matches!(bearer(none), Ok(None)));
        }
        assert!(matches!(bearer(&["Bearer a.b.c"]), Ok(Some(token)) if token == "a.b.c"));
        assert!(matches!(bearer(&["bearer  a.b.c"]), Ok(Some(token)) if token == "a.b.c"));
        for wrong in [
            &["Basic YTpi"][..],
            &["Bearer"],
            &["a.b.c"],
            &["Bearer a", "Bearer b"],
        ] {
            assert!(
                matches!(bearer(wrong), Err(Error::TokenInvalid)),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn the_refresh_cookie_is_found_among_others() {
        let cookie = |values| refresh_cookie(&headers(header::COOKIE, values));
        assert_eq!(cookie(&[]), None);
        assert_eq!(cookie(&["a=b; xmadang_refresh=no"]), None);
        assert_eq!(
            cookie(&["a=b; madang_refresh=t=o/k; c=d"]).as_deref(),
            Some("t=o/k")
        );
        assert_eq!(cookie(&["a=b", "madang_refresh="]).as_deref(), Some(""));
    }
}
