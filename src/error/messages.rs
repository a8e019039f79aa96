//! The sentences that callers read, in English and Korean.

use super::{Error, Rule};

/// A language that messages exist in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    #[default]
    En,
    Ko,
}

impl Language {
    /// The best available language for an `Accept-Language` header (RFC 9110, 12.5.4); English if none matches.
    #[must_use]
    pub fn negotiate(accept_language: &str) -> Self {
        let mut best = (0.0_f32, Self::En);
        for range in accept_language.split(',') {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let quality = parts
                .find_map(|p| {
                    p.trim()
                        .strip_prefix("q=")
                        .map(|q| q.parse::<f32>().unwrap_or(0.0))
                })
                .unwrap_or(1.0);
            let language = match tag.split('-').next() {
                Some("ko") => Self::Ko,
                Some("en" | "*") => Self::En,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, language);
            }
        }
        best.1
    }

    fn pick(self, en: &str, ko: &str) -> String {
        match self {
            Self::En => en.to_owned(),
            Self::Ko => ko.to_owned(),
        }
    }
}

impl Error {
    /// One sentence for the caller. It never contains an internal cause.
    #[must_use]
    pub fn message(&self, language: Language) -> String {
        match self {
            Self::BadRequest(sentence) => language.pick(&sentence.en, &sentence.ko),
            // For developers, and English: tools compare them with what graphql-js says.
            Self::Parse { message, .. } | Self::Validation { message, .. } => message.clone(),
            // Apollo's clients compare this text.
            Self::PersistedQueryNotFound => "PersistedQueryNotFound".to_owned(),
            Self::Unauthenticated => language.pick("Sign in first.", "먼저 로그인해 주세요."),
            Self::Credentials => language.pick(
                "Wrong name or password.",
                "이름 또는 비밀번호가 올바르지 않습니다.",
            ),
            Self::TokenExpired => language.pick("The token has expired.", "토큰이 만료되었습니다."),
            Self::TokenInvalid => {
                language.pick("The token is not valid.", "토큰이 유효하지 않습니다.")
            }
            Self::Banned { .. } => {
                language.pick("This account is banned.", "이용이 정지된 계정입니다.")
            }
            Self::Forbidden | Self::Withheld => {
                language.pick("You may not do this.", "이 작업을 할 권한이 없습니다.")
            }
            Self::NotFound => language.pick("Not found.", "찾을 수 없습니다."),
            Self::Invalid(_) => {
                language.pick("Some values are not valid.", "올바르지 않은 값이 있습니다.")
            }
            Self::Conflict(_) => language.pick(
                "This conflicts with existing data.",
                "현재 상태에서는 할 수 없습니다.",
            ),
            Self::TooLarge { limit } => match language {
                Language::En => format!("Too large: at most {limit} bytes."),
                Language::Ko => format!("너무 큽니다. 최대 {limit}바이트까지 가능합니다."),
            },
            Self::LimitExceeded { what, limit } => match language {
                Language::En => format!("Limit exceeded: {what}, at most {limit}."),
                Language::Ko => {
                    format!("허용된 수를 넘었습니다({what}). 최대 {limit}까지 가능합니다.")
                }
            },
            Self::RateLimited { .. } => language.pick(
                "Too many attempts. Try again later.",
                "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
            ),
            Self::ResyncRequired => language.pick(
                "Events were missed. Reload the data and subscribe again.",
                "커서가 더 이상 유효하지 않습니다. 다시 불러와 주세요.",
            ),
            Self::Timeout => {
                language.pick("The operation took too long.", "시간이 초과되었습니다.")
            }
            Self::Unavailable { .. } => language.pick(
                "Not available at the moment. Try again later.",
                "지금은 이용할 수 없습니다. 잠시 후 다시 시도해 주세요.",
            ),
            Self::Internal(_) => language.pick(
                "Something went wrong on the server.",
                "서버에 문제가 발생했습니다.",
            ),
        }
    }
}

impl Rule {
    /// One sentence that says what is wrong with the value.
    #[must_use]
    pub fn message(&self, language: Language) -> String {
        match (self, language) {
            (Self::TooShort { min }, Language::En) => format!("At least {min} characters."),
            (Self::TooShort { min }, Language::Ko) => format!("{min}자 이상이어야 합니다."),
            (Self::TooLong { max }, Language::En) => format!("At most {max} characters."),
            (Self::TooLong { max }, Language::Ko) => format!("{max}자 이하여야 합니다."),
            (Self::OutOfRange { min, max }, Language::En) => {
                format!("Must be from {min} to {max}.")
            }
            (Self::OutOfRange { min, max }, Language::Ko) => {
                format!("{min}에서 {max} 사이여야 합니다.")
            }
            (Self::IdType { expected }, Language::En) => format!("Is not the id of a {expected}."),
            (Self::IdType { expected }, Language::Ko) => format!("{expected}의 ID가 아닙니다."),
            (Self::Exclusive { other }, Language::En) => {
                format!("Cannot be combined with {other}.")
            }
            (Self::Exclusive { other }, Language::Ko) => format!("{other}와 함께 쓸 수 없습니다."),
            (Self::TooManyPixels { max }, Language::En) => format!("At most {max} pixels."),
            (Self::TooManyPixels { max }, Language::Ko) => {
                format!("{max}픽셀 이하여야 합니다.")
            }
            (Self::Width { expected }, Language::En) => format!("Must have {expected} values."),
            (Self::Width { expected }, Language::Ko) => {
                format!("값이 {expected}개여야 합니다.")
            }
            (Self::Fraction, _) => language.pick(
                "Must be greater than 0 and less than 1.",
                "0보다 크고 1보다 작아야 합니다.",
            ),
            (Self::Infinite, _) => language.pick("Is too large a number.", "너무 큰 수입니다."),
            (Self::Empty, _) => language.pick("Is empty.", "빈 파일입니다."),
            (Self::Damaged, _) => language.pick("Is damaged.", "손상된 파일입니다."),
            (Self::Blank, _) => language.pick("Must not be blank.", "비어 있을 수 없습니다."),
            (Self::ControlCharacter, _) => language.pick(
                "Must not contain control characters.",
                "제어 문자는 쓸 수 없습니다.",
            ),
            (Self::Format, _) => {
                language.pick("Has the wrong format.", "형식이 올바르지 않습니다.")
            }
            (Self::Null, _) => language.pick("Must not be null.", "null일 수 없습니다."),
            (Self::Required, _) => language.pick("Is required.", "필수 항목입니다."),
            (Self::Unknown, _) => language.pick("Is unknown.", "알 수 없는 값입니다."),
            (Self::Taken, _) => language.pick("Is already taken.", "이미 사용 중입니다."),
            (Self::CommonPassword, _) => language.pick(
                "Is one of the most common passwords.",
                "너무 흔한 비밀번호입니다.",
            ),
            (Self::PasswordIsName, _) => language.pick(
                "Must not be the name or the e-mail address.",
                "이름이나 이메일과 같을 수 없습니다.",
            ),
            (Self::WrongPassword, _) => {
                language.pick("Is not the current password.", "현재 비밀번호가 아닙니다.")
            }
            (Self::Cursor, _) => language.pick(
                "Is not a cursor of this list.",
                "이 목록의 커서가 아닙니다.",
            ),
            (Self::State, _) => language.pick(
                "Is not possible in its present state.",
                "현재 상태에서는 할 수 없습니다.",
            ),
            (Self::LastAdmin, _) => language.pick(
                "The last admin must remain an admin.",
                "마지막 관리자는 바꿀 수 없습니다.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn the_preferred_of_our_languages_wins() {
        for (header, expected) in [
            ("ko", Language::Ko),
            ("ko-KR,en;q=0.5", Language::Ko),
            ("en;q=0.5, ko;q=0.9", Language::Ko),
            ("fr, en;q=0.8", Language::En),
            ("fr", Language::En),
            ("", Language::En),
            ("ko;q=0", Language::En),
            ("ko;q=x", Language::En),
        ] {
            assert_eq!(Language::negotiate(header), expected, "{header}");
        }
    }
}
