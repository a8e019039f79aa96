//! Which passwords are acceptable: long enough, and not among those that attackers try first. There are no composition
//! rules (NIST SP 800-63B, 3.1.1.2).

use std::{collections::HashSet, fmt, sync::LazyLock};

use unicode_normalization::UnicodeNormalization;

use crate::{error::Rule, text};

/// A new password that has passed the checks. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

static COMMON: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("common-passwords.txt")
        .lines()
        .filter(|l| !l.starts_with('#'))
        .collect()
});

impl Password {
    /// Checks a password: 8 to 128 characters in NFKC, not a common one, not one character repeated, and not the name
    /// or the e-mail address of its owner.
    ///
    /// # Errors
    /// `TOO_SHORT`, `TOO_LONG`, `COMMON_PASSWORD` or `PASSWORD_IS_NAME`.
    pub fn parse(password: String, name: &str, email: &str) -> Result<Self, Rule> {
        let password = typed(&password);
        match password.chars().count() {
            n if n < 8 => return Err(Rule::TooShort { min: 8 }),
            n if n > 128 => return Err(Rule::TooLong { max: 128 }),
            _ => {}
        }
        let is_repeated = {
            let mut characters = password.chars();
            let first = characters.next();
            characters.all(|c| Some(c) == first)
        };
        if is_repeated || COMMON.contains(text::fold(&password).as_str()) {
            return Err(Rule::CommonPassword);
        }
        let email = email.trim();
        let mailbox = email.split('@').next().unwrap_or_default();
        let folded = text::fold(password.trim());
        // Texts that are longer than any name are skipped: folding takes time.
        let mut own = [name.trim(), email, mailbox]
            .into_iter()
            .filter(|own| own.len() <= 1_024);
        if own.any(|own| text::fold(own) == folded) {
            return Err(Rule::PasswordIsName);
        }
        Ok(Self(password))
    }

    /// The password itself, to be hashed.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

/// The form of a typed password that is hashed: NFKC, so that all keyboards give the same. Very long input is cut, to a
/// length that is still too long to be valid.
#[must_use]
pub fn typed(password: &str) -> String {
    password.chars().take(1_024).nfkc().collect()
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(password: &str) -> Result<Password, Rule> {
        Password::parse(
            password.to_owned(),
            "gildong_hong",
            "hong.gildong@example.org",
        )
    }

    #[test]
    fn common_passwords_are_refused_in_any_case() {
        assert!(COMMON.len() >= 3_000);
        assert_eq!(parse("Password1"), Err(Rule::CommonPassword));
        assert_eq!(parse("iloveyou2"), Err(Rule::CommonPassword));
        assert_eq!(parse(&"나".repeat(9)), Err(Rule::CommonPassword));
    }

    #[test]
    fn a_password_is_the_same_however_it_is_typed() {
        let composed = parse("마당 앞 느티나무").unwrap();
        let decomposed: String = "마당 앞 느티나무".nfd().collect();

        assert_eq!(parse(&decomposed), Ok(composed.clone()));
        assert_eq!(typed(&decomposed), composed.into_inner());
        assert_eq!(typed("ﬁve Ｗｉｄｅ"), "five Wide");
        assert!(typed(&"\u{fdfa}".repeat(1_000_000)).len() < 1 << 20);
    }

    #[test]
    fn one_s_own_name_is_no_password() {
        for own in [
            " gildong_hong ",
            "Gildong_Hong",
            "hong.gildong@example.org",
            "hong.gildong",
        ] {
            assert_eq!(parse(own), Err(Rule::PasswordIsName), "{own}");
        }
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(parse("short_1"), Err(Rule::TooShort { min: 8 }));
        assert!(parse("우리 집 앞마당").is_ok());
        assert!(parse(&"xy".repeat(64)).is_ok());
        assert_eq!(parse(&"x".repeat(129)), Err(Rule::TooLong { max: 128 }));
    }
}
