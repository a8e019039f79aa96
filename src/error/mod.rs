//! All errors, as one enum with stable codes. Messages, in the caller's language, are in `messages`.

mod messages;

use std::{fmt, panic::Location, sync::Arc, time::Duration};

use async_graphql::{ErrorExtensionValues, Pos, Value, indexmap::IndexMap};

pub use messages::Language;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// `extensions.code` of every error. Clients may rely on these names; new ones may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum)]
pub enum ErrorCode {
    /// The request is malformed: broken JSON, an unknown operation or invalid variables.
    BadRequest,
    /// The document is not valid GraphQL.
    GraphqlParseFailed,
    /// The document is not valid for this schema.
    GraphqlValidationFailed,
    /// The hash of the persisted query is unknown: send the request again with the query.
    PersistedQueryNotFound,
    /// Sign-in is required, or the name or the password is wrong.
    Unauthenticated,
    /// The access token has expired: refresh it.
    TokenExpired,
    /// The token is not valid, or no longer.
    TokenInvalid,
    /// The account is banned; `extensions.reason` says why.
    Banned,
    /// The caller may not do this.
    Forbidden,
    /// It does not exist, or the caller may not see it.
    NotFound,
    /// Some values break a rule: `extensions.violations` lists all of them.
    Invalid,
    /// The request conflicts with existing data: `extensions.violations` says how.
    Conflict,
    /// The request or upload has too many bytes.
    TooLarge,
    /// A limit on a count or a quota is exceeded.
    LimitExceeded,
    /// Too many requests: wait for `extensions.retryAfter` seconds.
    RateLimited,
    /// Events of a subscription were missed: reload the data and subscribe again.
    ResyncRequired,
    /// The operation took too long and was stopped.
    Timeout,
    /// A backend is unavailable. Everything else works.
    Unavailable,
    /// An internal error. The server's log has the cause under the request id.
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

/// A rule that a value broke, with the field of the input.
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
    /// A file without a byte.
    Empty,
    /// A picture that is not what its first bytes say, or whose end is missing.
    Damaged,
    /// A picture of more than `max` pixels.
    TooManyPixels { max: u64 },
    /// Fewer characters than `min`.
    TooShort { min: usize },
    /// More characters than `max`.
    TooLong { max: usize },
    /// A control character other than a line break or a tab where these are allowed.
    ControlCharacter,
    /// The wrong format, as of an e-mail address.
    Format,
    /// Null where a value is required.
    Null,
    /// Required, but absent.
    Required,
    /// A number outside `min..=max`.
    OutOfRange { min: i64, max: i64 },
    /// A number that is not between 0 and 1.
    Fraction,
    /// A row of another number of values than `expected`.
    Width { expected: usize },
    /// A number that is infinite.
    Infinite,
    /// An id of another kind of thing, or no id at all. `expected` is the prefix.
    IdType { expected: &'static str },
    /// An id, token or name that is unknown.
    Unknown,
    /// Taken by another.
    Taken,
    /// One of the common passwords.
    CommonPassword,
    /// The password is the name or the e-mail address.
    PasswordIsName,
    /// Not the present password.
    WrongPassword,
    /// Not a cursor of this list.
    Cursor,
    /// Two arguments that exclude each other; `other` is the second one.
    Exclusive { other: &'static str },
    /// The last admin stays one.
    LastAdmin,
    /// Not possible in its present state.
    State,
}

impl Rule {
    /// `violations[].code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blank => "BLANK",
            Self::Empty => "EMPTY",
            Self::Damaged => "DAMAGED",
            Self::TooManyPixels { .. } => "TOO_MANY_PIXELS",
            Self::TooShort { .. } => "TOO_SHORT",
            Self::TooLong { .. } => "TOO_LONG",
            Self::ControlCharacter => "CONTROL_CHARACTER",
            Self::Format => "FORMAT",
            Self::Null => "NULL",
            Self::Required => "REQUIRED",
            Self::OutOfRange { .. } | Self::Fraction | Self::Infinite => "OUT_OF_RANGE",
            Self::Width { .. } => "WIDTH",
            Self::IdType { .. } => "ID_TYPE",
            Self::Unknown => "UNKNOWN",
            Self::Taken => "TAKEN",
            Self::CommonPassword => "COMMON_PASSWORD",
            Self::PasswordIsName => "PASSWORD_IS_NAME",
            Self::WrongPassword => "WRONG_PASSWORD",
            Self::Cursor => "CURSOR",
            Self::Exclusive { .. } => "EXCLUSIVE",
            Self::LastAdmin => "LAST_ADMIN",
            Self::State => "STATE",
        }
    }

    /// The violation of this rule by `field`.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Violation {
        Violation {
            field: field.into(),
            rule: self,
        }
    }
}

/// A sentence in each language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub en: String,
    pub ko: String,
}

/// The most characters of a client's input, such as a name, that a message repeats.
const QUOTED: usize = 100;

/// `value` as quoted in a message: its first 100 characters. The rest is not even formatted.
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
    // Fails when the value is longer, as intended.
    let _ = fmt::Write::write_fmt(&mut quoted, format_args!("{value}"));
    quoted.0
}

/// Why an operation failed.
#[derive(Clone, Debug)]
pub enum Error {
    /// The sentence says what is wrong, for the developer of the client.
    BadRequest(Sentence),
    /// The parser's message and the position.
    Parse {
        message: String,
        locations: Vec<Pos>,
    },
    /// A broken validation rule of GraphQL, with the positions.
    Validation {
        message: String,
        locations: Vec<Pos>,
    },
    PersistedQueryNotFound,
    /// The caller is not signed in.
    Unauthenticated,
    /// The name is unknown or the password is wrong. The message does not say which.
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
    /// The cause is logged once, when the response is built, and never sent.
    Internal(Arc<Cause>),
    /// The caller may not see this guarded field: it becomes null and is named in `extensions.withheld`.
    Withheld,
}

/// Why an internal error happened, and where it became one.
#[derive(Debug)]
pub struct Cause {
    error: Box<dyn std::error::Error + Send + Sync>,
    place: &'static Location<'static>,
}

impl Cause {
    /// What it says, without the place.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.error.to_string()
    }

    /// The cause, if it is of this type.
    #[must_use]
    pub fn downcast_ref<T: std::error::Error + 'static>(&self) -> Option<&T> {
        self.error.downcast_ref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, line) = (self.place.file(), self.place.line());
        write!(f, "{} ({file}:{line})", self.error)
    }
}

impl Error {
    /// An internal error, with its cause and the caller's place in the source.
    #[track_caller]
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::new(Cause {
            error: cause.into(),
            place: Location::caller(),
        }))
    }

    /// A malformed request, with the same sentence in English and Korean.
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

    /// A conflict at a single field.
    #[must_use]
    pub fn conflict(field: impl Into<String>, rule: Rule) -> Self {
        Self::Conflict(vec![rule.at(field)])
    }

    /// The stable code. A withheld field never becomes an error in the response.
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

    /// Whether nothing was written for sure. After others, a transaction may have been committed all the same.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(
            self.code(),
            ErrorCode::Unavailable | ErrorCode::Timeout | ErrorCode::Internal
        )
    }

    /// `extensions` of a GraphQL error: the code, and the data that belongs to it.
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

// No `impl std::error::Error`: async-graphql converts every `Display` into its own error type, and keeps the value as
// the source, which the engine reads.
