//! What can go wrong, as values of one enum with stable codes. Messages, in the caller's language, are in `messages`.

mod messages;

use std::{fmt, sync::Arc, time::Duration};

use async_graphql::{ErrorExtensionValues, Pos, Value, indexmap::IndexMap};

pub use messages::Language;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `extensions.code` of every error. Clients may rely on these names; new ones may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum)]
pub enum ErrorCode {
    /// The request is not what the protocol asks for: broken JSON, an unknown operation, variables that do not fit.
    BadRequest,
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document does not fit the schema.
    GraphqlValidationFailed,
    /// The hash of a persisted query is not known here: send it again with the query.
    PersistedQueryNotFound,
    /// Signing in is needed, or the name and password do not fit.
    Unauthenticated,
    /// The access token has expired: refresh it.
    TokenExpired,
    /// The token is not valid (any more).
    TokenInvalid,
    /// The account is banned; `extensions.reason` says why.
    Banned,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or the caller may not know of it.
    NotFound,
    /// Values that break a rule: `extensions.violations` lists all of them.
    Invalid,
    /// Something that exists or its state stands against it: `extensions.violations` lists what.
    Conflict,
    /// Too many bytes.
    TooLarge,
    /// A count or quota is exceeded.
    LimitExceeded,
    /// Too often: `extensions.retryAfter` is in seconds.
    RateLimited,
    /// The cursor of a subscription can no longer be honoured: load anew.
    ResyncRequired,
    /// It took too long and was stopped.
    Timeout,
    /// A backend is away; the rest works.
    Unavailable,
    /// A fault of the server. The log has the cause under the request id.
    Internal,
}

impl ErrorCode {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::Banned => "BANNED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Invalid => "INVALID",
            Self::Conflict => "CONFLICT",
            Self::TooLarge => "TOO_LARGE",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::RateLimited => "RATE_LIMITED",
            Self::ResyncRequired => "RESYNC_REQUIRED",
            Self::Timeout => "TIMEOUT",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// One rule that a value broke, for the field that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// As in the input: `title`, `files.3`.
    pub field: String,
    pub rule: Rule,
}

/// A rule that a single value can break. The names on the wire are those of [`Rule::code`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing but white space, or nothing at all.
    Blank,
    /// Fewer characters than `min`.
    TooShort { min: usize },
    /// More characters than `max`.
    TooLong { max: usize },
    /// A control character other than a line break or a tab where these are allowed.
    ControlCharacter,
    /// Not of the form that is asked for, such as an e-mail address.
    Format,
    /// Null where something is needed.
    Null,
    /// Needed, and not given.
    Required,
    /// A number outside `min..=max`.
    OutOfRange { min: i64, max: i64 },
    /// An id of another kind of thing, or no id at all. `expected` is the prefix.
    IdType { expected: &'static str },
    /// An id, token or name that leads to nothing here.
    Unknown,
    /// Taken by another.
    Taken,
    /// One of the common passwords.
    CommonPassword,
    /// The password is the name or the e-mail address.
    PasswordIsName,
    /// Not the present password.
    WrongPassword,
    /// A cursor that is not one of this list.
    Cursor,
    /// Two arguments that exclude each other; `other` is the second one.
    Exclusive { other: &'static str },
    /// The last admin stays one.
    LastAdmin,
}

impl Rule {
    /// `violations[].code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blank => "BLANK",
            Self::TooShort { .. } => "TOO_SHORT",
            Self::TooLong { .. } => "TOO_LONG",
            Self::ControlCharacter => "CONTROL_CHARACTER",
            Self::Format => "FORMAT",
            Self::Null => "NULL",
            Self::Required => "REQUIRED",
            Self::OutOfRange { .. } => "OUT_OF_RANGE",
            Self::IdType { .. } => "ID_TYPE",
            Self::Unknown => "UNKNOWN",
            Self::Taken => "TAKEN",
            Self::CommonPassword => "COMMON_PASSWORD",
            Self::PasswordIsName => "PASSWORD_IS_NAME",
            Self::WrongPassword => "WRONG_PASSWORD",
            Self::Cursor => "CURSOR",
            Self::Exclusive { .. } => "EXCLUSIVE",
            Self::LastAdmin => "LAST_ADMIN",
        }
    }

    /// This rule, broken by the value of `field`.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Violation {
        Violation {
            field: field.into(),
            rule: self,
        }
    }
}

/// One sentence in each of our languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub en: String,
    pub ko: String,
}

/// Characters of a client's own words, such as a name, that a message repeats.
const QUOTED: usize = 100;

/// `value` as a message quotes it: its first 100 characters. What comes after them is not even written.
#[must_use]
pub fn short(value: impl fmt::Display) -> String {
    struct Bounded(String, usize);
    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for c in text.chars() {
                if self.1 == QUOTED {
                    self.0.push('…');
                    return Err(fmt::Error);
                }
                self.1 += 1;
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut quoted = Bounded(String::new(), 0);
    // Fails when the value is longer, which is what it is for.
    let _ = fmt::Write::write_fmt(&mut quoted, format_args!("{value}"));
    quoted.0
}

/// What an operation failed with.
#[derive(Clone, Debug)]
pub enum Error {
    /// The sentence is for the developer of the client and says what is wrong.
    BadRequest(Sentence),
    /// The parser's words and the place.
    Parse {
        message: String,
        locations: Vec<Pos>,
    },
    /// A rule of GraphQL's validation, and the place.
    Validation {
        message: String,
        locations: Vec<Pos>,
    },
    PersistedQueryNotFound,
    /// Nobody is signed in.
    Unauthenticated,
    /// The name is unknown or the password is wrong; it is not said which.
    Credentials,
    TokenExpired,
    TokenInvalid,
    Banned {
        reason: Option<String>,
    },
    Forbidden,
    NotFound,
    /// All broken rules at once.
    Invalid(Vec<Violation>),
    Conflict(Vec<Violation>),
    /// More than so many bytes.
    TooLarge {
        limit: u64,
    },
    /// `what` names the count, as in "aliases".
    LimitExceeded {
        what: &'static str,
        limit: u64,
    },
    RateLimited {
        retry_after: Duration,
    },
    ResyncRequired,
    Timeout,
    /// `backend` is for the log and `/readyz`.
    Unavailable {
        backend: &'static str,
    },
    /// The cause is logged where it is turned into an answer, once, and never sent.
    Internal(Arc<dyn std::error::Error + Send + Sync>),
    /// A guarded field of a type whose value this caller does not get: becomes null, named in `extensions.withheld`.
    Withheld,
}

impl Error {
    /// A fault of ours, with its cause.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::from(cause.into()))
    }

    /// A request that is not what the protocol asks for; the same sentence in English and Korean.
    #[must_use]
    pub fn bad_request(en: impl Into<String>, ko: impl Into<String>) -> Self {
        Self::BadRequest(Sentence {
            en: en.into(),
            ko: ko.into(),
        })
    }

    /// A single broken rule.
    #[must_use]
    pub fn invalid(field: impl Into<String>, rule: Rule) -> Self {
        Self::Invalid(vec![rule.at(field)])
    }

    /// A single thing that stands against it.
    #[must_use]
    pub fn conflict(field: impl Into<String>, rule: Rule) -> Self {
        Self::Conflict(vec![rule.at(field)])
    }

    /// The stable code. A withheld field never becomes an error on the wire.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BadRequest(_) => ErrorCode::BadRequest,
            Self::Parse { .. } => ErrorCode::GraphqlParseFailed,
            Self::Validation { .. } => ErrorCode::GraphqlValidationFailed,
            Self::PersistedQueryNotFound => ErrorCode::PersistedQueryNotFound,
            Self::Unauthenticated | Self::Credentials => ErrorCode::Unauthenticated,
            Self::TokenExpired => ErrorCode::TokenExpired,
            Self::TokenInvalid => ErrorCode::TokenInvalid,
            Self::Banned { .. } => ErrorCode::Banned,
            Self::Forbidden | Self::Withheld => ErrorCode::Forbidden,
            Self::NotFound => ErrorCode::NotFound,
            Self::Invalid(_) => ErrorCode::Invalid,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::LimitExceeded { .. } => ErrorCode::LimitExceeded,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::ResyncRequired => ErrorCode::ResyncRequired,
            Self::Timeout => ErrorCode::Timeout,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// `extensions` of a GraphQL error: the code, and what else the code promises.
    #[must_use]
    pub fn extensions(&self, language: Language) -> ErrorExtensionValues {
        let mut values = ErrorExtensionValues::default();
        values.set("code", self.code().as_str());
        match self {
            Self::Invalid(violations) | Self::Conflict(violations) => {
                values.set(
                    "violations",
                    Value::List(violations.iter().map(|v| v.to_value(language)).collect()),
                );
            }
            Self::RateLimited { retry_after } => {
                values.set(
                    "retryAfter",
                    retry_after.as_secs_f64().ceil().max(1.0) as u64,
                );
            }
            Self::Banned {
                reason: Some(reason),
            } => values.set("reason", reason.as_str()),
            _ => {}
        }
        values
    }
}

impl Violation {
    fn to_value(&self, language: Language) -> Value {
        let entries = [
            ("field", self.field.clone()),
            ("code", self.rule.code().to_owned()),
            ("message", self.rule.message(language)),
        ];
        let map: IndexMap<_, _> = entries
            .into_iter()
            .map(|(k, v)| (async_graphql::Name::new(k), Value::String(v)))
            .collect();
        Value::Object(map)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message(Language::En))
    }
}

// No `impl std::error::Error`: async-graphql turns whatever is `Display` into its own error and keeps the value as the
// source, where the execution finds it again.
