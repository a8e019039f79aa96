//! Tokens that clients authenticate with. Access tokens are JWTs that live for minutes; refresh and subscription tokens
//! cannot be guessed, and only their hashes are stored.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::User;
use crate::{
    access::Role,
    app::App,
    clock::{Clock, Moment, Timestamp},
    config::{Config, SameSite},
    error::{Error, Result},
    ids::{SignInId, UserId},
    keys::Keys,
};

/// The audience of access tokens.
const AUDIENCE: &str = "madang";
/// Tells access tokens from tokens of other kinds.
const TYPE: &str = "access";

/// An access token and its expiry.
#[derive(Clone, Debug)]
pub struct AccessToken {
    pub text: String,
    pub expires_at: Timestamp,
}

/// The claims of a valid access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    pub user: UserId,
    pub session: SignInId,
    issued_at: Timestamp,
    expires_at: Timestamp,
    /// When they expire, by the monotonic clock.
    pub expires: Moment,
}

/// How far another server's clock may be ahead.
const SKEW: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    sid: String,
    typ: String,
    iss: String,
    aud: String,
    jti: String,
    iat: i64,
    /// Our own tokens do not have it: they are valid from when they are issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
    /// For clients only. The server reads the role from the database.
    role: String,
}

/// A token for `user` in `session`.
///
/// # Errors
/// `INTERNAL` when signing fails.
pub fn issue_access(app: &App, user: &User, session: SignInId) -> Result<AccessToken> {
    let now = app.clock.now();
    let exp = now.after(app.config.access_token_ttl).seconds();
    let claims = Claims {
        sub: user.id.to_string(),
        sid: session.to_string(),
        typ: TYPE.to_owned(),
        iss: issuer(app),
        aud: AUDIENCE.to_owned(),
        jti: random()?,
        iat: now.seconds(),
        nbf: None,
        exp,
        role: if user.role == Role::Admin {
            "ADMIN"
        } else {
            "USER"
        }
        .to_owned(),
    };
    let key = EncodingKey::from_secret(&app.keys.access_tokens);
    let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| Error::internal(error))?;
    Ok(AccessToken {
        text,
        expires_at: Timestamp::from_micros(exp * 1_000_000),
    })
}

/// Reads an access token. Whether its session still exists is checked by [`Rights`](crate::access::Rights).
///
/// # Errors
/// `TOKEN_INVALID`; `TOKEN_EXPIRED` for one that was valid once.
pub fn read_access(app: &App, token: &str) -> Result<AccessClaims> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[issuer(app)]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Checked below, by the clock that tests can move.
    validation.validate_exp = false;
    // Critical header parameters must be understood (RFC 7515, 4.1.11), and none is supported.
    let header = jsonwebtoken::decode_header(token).map_err(|_| Error::TokenInvalid)?;
    if header.crit.is_some() {
        return Err(Error::TokenInvalid);
    }
    let key = DecodingKey::from_secret(&app.keys.access_tokens);
    let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)
        .map_err(|_| Error::TokenInvalid)?
        .claims;
    let user = UserId::parse(&claims.sub).map_err(|_| Error::TokenInvalid)?;
    let session = SignInId::parse(&claims.sid).map_err(|_| Error::TokenInvalid)?;
    let at = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let now = app.clock.now();
    let is_early = claims.nbf.is_some_and(|nbf| at(nbf) > now.after(SKEW));
    if claims.typ != TYPE || is_early {
        return Err(Error::TokenInvalid);
    }
    let expires_at = at(claims.exp);
    let claims = AccessClaims {
        user,
        session,
        issued_at: at(claims.iat),
        expires_at,
        expires: app.clock.moment().after(expires_at.since(now)),
    };
    claims.unless_over(&app.clock)
}

impl AccessClaims {
    /// # Errors
    /// `TOKEN_EXPIRED` when they have expired; `TOKEN_INVALID` when they were issued in the future, as after the
    /// system's time was set back.
    pub fn unless_over(self, clock: &Clock) -> Result<Self> {
        let now = clock.now();
        if self.issued_at > now.after(SKEW) {
            Err(Error::TokenInvalid)
        } else if self.expires_at <= now || self.expires <= clock.moment() {
            Err(Error::TokenExpired)
        } else {
            Ok(self)
        }
    }
}

fn issuer(app: &App) -> String {
    match &app.config.public_url.0 {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => "madang".to_owned(),
    }
}

/// 256 random bits as text.
///
/// # Errors
/// `INTERNAL` when the system has no random numbers.
pub fn random() -> Result<String> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random_bytes()?))
}

/// Bytes that nobody can guess.
const RANDOM: usize = 32;

fn random_bytes() -> Result<[u8; RANDOM]> {
    let mut bytes = [0; RANDOM];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(e.to_string()))?;
    Ok(bytes)
}

/// A refresh token of `session`. It names the session, so that a used one that comes back is known without being kept.
///
/// # Errors
/// `INTERNAL` when the system has no random numbers.
pub fn refresh_token(keys: &Keys, session: SignInId) -> Result<String> {
    let (session, random) = (session.uuid().into_bytes(), random_bytes()?);
    let signature = keys.refresh_tokens.sign(&[&session, &random]);
    let parts = [&session[..], &random, &signature];
    Ok(BASE64_URL_SAFE_NO_PAD.encode(parts.concat()))
}

/// The session of a refresh token that this secret has signed, even if the token was used or the session has ended.
#[must_use]
pub fn signed_session(keys: &Keys, refresh_token: &str) -> Option<SignInId> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(refresh_token).ok()?;
    let (session, rest) = bytes.split_first_chunk::<16>()?;
    let (random, signature) = rest.split_first_chunk::<RANDOM>()?;
    let signature = signature.try_into().ok()?;
    let is_ours = keys
        .refresh_tokens
        .has_signed(&[session, random], signature);
    is_ours.then(|| SignInId::from_uuid(Uuid::from_bytes(*session)))
}

/// The stored form of a random token. The token has too many bits to be guessed, so a fast hash is enough.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// The name of the refresh token's cookie.
pub const REFRESH_COOKIE: &str = "madang_refresh";

/// A `Set-Cookie` that stores `token` for `lifetime`, or deletes the cookie when that is zero. Scripts cannot read it,
/// and it is sent to `/graphql` only.
#[must_use]
pub fn refresh_cookie(config: &Config, token: &str, lifetime: Duration) -> String {
    let same_site = match config.cookie_samesite {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
        SameSite::None => "None",
    };
    let secure = if config.is_public_https() {
        "; Secure"
    } else {
        ""
    };
    let seconds = lifetime.as_secs();
    format!(
        "{REFRESH_COOKIE}={token}; HttpOnly; Path=/graphql; SameSite={same_site}; Max-Age={seconds}{secure}"
    )
}
