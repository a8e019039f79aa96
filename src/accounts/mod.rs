//! Accounts: users, passwords, sign-in sessions and tokens.

pub mod graphql;
pub mod hashes;
pub mod jobs;
pub mod passwords;
pub mod store;
pub mod tokens;

use diesel::prelude::*;
use diesel_derive_newtype::DieselNewType;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::{
    access::Role,
    clock::Timestamp,
    db::tables::{sign_in_sessions, users},
    error::{Error, Result, Rule},
    ids::{SignInId, UserId},
    queue::Payload,
    text,
};

/// A user account.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct User {
    pub id: UserId,
    #[diesel(embed)]
    pub name: Name,
    #[diesel(embed)]
    pub email: Email,
    pub role: Role,
    pub is_banned: bool,
    pub ban_reason: Option<BanReason>,
    pub joined_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl User {
    /// # Errors
    /// `BANNED`.
    pub fn unless_banned(self) -> Result<Self> {
        if self.is_banned {
            let reason = self.ban_reason.map(BanReason::into_inner);
            Err(Error::Banned { reason })
        } else {
            Ok(self)
        }
    }
}

/// The event that an account was deleted. Features that keep something per user follow it with a job.
#[derive(Serialize, Deserialize)]
pub struct UserDeleted {
    pub user: UserId,
}

impl Payload for UserDeleted {
    const KIND: &'static str = "user_deleted";
}

/// A device that is signed in.
#[derive(Clone, Debug, Queryable, Selectable, Insertable)]
#[diesel(table_name = sign_in_sessions)]
pub struct SignInSession {
    pub id: SignInId,
    pub user_id: UserId,
    pub created_at: Timestamp,
    pub last_used_at: Timestamp,
    pub expires_at: Timestamp,
    pub user_agent: Option<String>,
    pub ip: Option<String>,
}

/// What a user is called: a letter, then letters, digits and `_`, 1 to 64 characters; letters are those of the Latin
/// alphabet and Hangul syllables.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = users)]
pub struct Name {
    #[diesel(column_name = name)]
    pub text: String,
    /// What must be unique.
    #[diesel(column_name = name_key)]
    pub key: String,
}

impl Name {
    /// # Errors
    /// `BLANK`, `TOO_LONG`, `CONTROL_CHARACTER` or `FORMAT`.
    pub fn parse(name: &str) -> Result<Self, Rule> {
        let name = text::line(name, 1..=64)?;
        let is_letter = |c: char| c.is_ascii_alphabetic() || ('가'..='힣').contains(&c);
        let well_formed = name.starts_with(is_letter)
            && name
                .chars()
                .all(|c| is_letter(c) || c.is_ascii_digit() || c == '_');
        if !well_formed {
            return Err(Rule::Format);
        }
        Ok(Self {
            key: text::fold(&name),
            text: name,
        })
    }
}

/// An e-mail address whose domain has a dot, at most 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = users)]
pub struct Email {
    #[diesel(column_name = email)]
    pub text: String,
    /// What must be unique.
    #[diesel(column_name = email_key)]
    pub key: String,
}

impl Email {
    /// # Errors
    /// `BLANK`, `TOO_LONG`, `CONTROL_CHARACTER` or `FORMAT`.
    pub fn parse(email: &str) -> Result<Self, Rule> {
        let email = text::line(email, 1..=256)?;
        let options = email_address::Options::default()
            .with_required_tld()
            .without_display_text()
            .without_domain_literal();
        email_address::EmailAddress::parse_with_options(&email, options)
            .map_err(|_| Rule::Format)?;
        let key = text::fold(&email);
        if key.chars().count() > 512 {
            return Err(Rule::TooLong { max: 256 });
        }
        Ok(Self { key, text: email })
    }
}

/// The reason for a ban, which the user can read: 1 to 512 characters, several lines.
#[derive(Clone, Debug, PartialEq, Eq, DieselNewType)]
pub struct BanReason(String);

impl BanReason {
    /// # Errors
    /// `BLANK`, `TOO_LONG` or `CONTROL_CHARACTER`.
    pub fn parse(reason: &str) -> Result<Self, Rule> {
        text::paragraphs(reason, 1..=512).map(Self)
    }

    /// The reason itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reason itself.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

/// The key that `name_or_email` is looked up by. The input need not be well-formed. It is cut to the length of the
/// longest possible key, since rates are counted by it.
#[must_use]
pub fn login_key(name_or_email: &str) -> String {
    text::fold(&name_or_email.trim().nfc().take(256).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_then_letters_digits_and_underscores() {
        for good in ["a", "Ann_2", "마당쇠", " trimmed ", &"a".repeat(64)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for (bad, rule) in [
            ("", Rule::Blank),
            ("  ", Rule::Blank),
            ("2fast", Rule::Format),
            ("_a", Rule::Format),
            ("a b", Rule::Format),
            ("a@b.c", Rule::Format),
            ("é", Rule::Format),
            ("ㄱㄴ", Rule::Format),
            ("Ａ", Rule::Format),
            ("a\0", Rule::ControlCharacter),
            (&"a".repeat(65), Rule::TooLong { max: 64 }),
        ] {
            assert_eq!(Name::parse(bad), Err(rule), "{bad}");
        }
    }

    #[test]
    fn a_decomposed_name_is_the_same_name() {
        let composed = Name::parse("마당").unwrap();
        let decomposed = Name::parse("\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}").unwrap();

        assert_eq!(composed, decomposed);
    }

    #[test]
    fn e_mail_addresses_have_a_domain_with_a_dot() {
        for good in ["a@b.co", "a.b+c@sub.example.org", "가@example.kr"] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(256));
        for bad in [
            "",
            "a",
            "a@b",
            "@b.co",
            "a@",
            "a b@c.de",
            "A <a@b.co>",
            "a@[127.0.0.1]",
            "a@b..co",
            &long,
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Email::parse("A@B.co").unwrap().key,
            Email::parse("a@b.CO").unwrap().key
        );
    }
}
