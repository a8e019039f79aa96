//! Tokens: what a client shows to speak for somebody. Access tokens are JWTs that live for minutes; refresh and
//! subscription tokens are random and known here by their hashes only.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::User;
use crate::{
    access::Role,
    app::App,
    clock::{Clock, Moment, Timestamp},
    config::{Config, SameSite},
    error::{Error, Result},
    ids::{SignInId, UserId},
};

/// Who tokens are for.
const AUDIENCE: &str = "madang";
/// What keeps an access token from being taken for a token of another kind.
const TYPE: &str = "access";

/// An access token and its end.
#[derive(Clone, Debug)]
pub struct AccessToken {
    pub text: String,
    pub expires_at: Timestamp,
}

/// What a valid access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    pub user: UserId,
    pub session: SignInId,
    issued_at: Timestamp,
    expires_at: Timestamp,
    /// When they expire, by a clock that is not set.
    pub expires: Moment,
}

/// So far ahead another server's clock may be.
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
    /// Not of ours: tokens of ours hold from when they are issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
    /// For clients; this server trusts its own rows.
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
        .map_err(Error::internal)?;
    Ok(AccessToken {
        text,
        expires_at: Timestamp::from_micros(exp * 1_000_000),
    })
}

/// Reads an access token. That its session still stands is for the store to say.
///
/// # Errors
/// `TOKEN_INVALID`; `TOKEN_EXPIRED` for one that was valid once.
pub fn read_access(app: &App, token: &str) -> Result<AccessClaims> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[issuer(app)]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The time is the clock's, which tests move.
    validation.validate_exp = false;
    // What a header calls critical must be understood (RFC 7515, 4.1.11), and no extension is.
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
    /// `TOKEN_EXPIRED` when their time is over; `TOKEN_INVALID` when they are of the future, as after the time was set back.
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
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(e.to_string()))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a random token. It has too many bits to be guessed, so a fast hash does.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// The cookie that a refresh token travels in.
pub const REFRESH_COOKIE: &str = "madang_refresh";

/// A `Set-Cookie` that keeps `token` for `lifetime`, or takes the cookie away when that is zero. Scripts cannot read it,
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
