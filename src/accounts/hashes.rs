//! Password hashes: Argon2id with OWASP's parameters.

use std::sync::LazyLock;

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::phc::PasswordHash,
};

use crate::{
    cpu::{Cpu, Share},
    error::{Error, Result},
};

/// 19 MiB, two passes, one lane: <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>.
static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// A hash that no password matches, so that an unknown user takes as much time as a wrong password.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    let salt = [0; 16];
    ARGON2
        .hash_password_with_salt(b"", &salt)
        .map(|h| h.to_string())
        .unwrap_or_default()
});

/// The result of comparing a password with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wrong,
    Right,
    /// Right, but the hash was made with outdated parameters: make a new one.
    RightButOld,
}

/// The hash of `password` in PHC string format, with a new salt.
///
/// # Errors
/// `INTERNAL` when the system has no random numbers.
pub async fn hash(cpu: &Cpu, password: String) -> Result<String> {
    let work = move || {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|e| Error::internal(e.to_string()))?;
        let hash = ARGON2.hash_password_with_salt(password.as_bytes(), &salt);
        hash.map(|h| h.to_string())
            .map_err(|e| Error::internal(e.to_string()))
    };
    cpu.run(Share::Passwords, work).await?
}

/// Whether `hash` was made of `password`. Without a hash it takes the same time and says no.
///
/// # Errors
/// `INTERNAL` when the hash is damaged.
pub async fn verify(cpu: &Cpu, password: String, hash: Option<String>) -> Result<Verdict> {
    let work = move || {
        let known = hash.is_some();
        let text = hash.unwrap_or_else(|| NOBODY.clone());
        let hash = PasswordHash::new(&text).map_err(|e| Error::internal(e.to_string()))?;
        let fits = ARGON2.verify_password(password.as_bytes(), &hash).is_ok();
        Ok(match (known && fits, is_of_today(&hash)) {
            (false, _) => Verdict::Wrong,
            (true, true) => Verdict::Right,
            (true, false) => Verdict::RightButOld,
        })
    };
    cpu.run(Share::Passwords, work).await?
}

fn is_of_today(hash: &PasswordHash) -> bool {
    hash.algorithm == Algorithm::Argon2id.ident()
        && hash.version == Some(Version::V0x13.into())
        && Params::try_from(hash).is_ok_and(|p| {
            let today = ARGON2.params();
            (p.m_cost(), p.t_cost(), p.p_cost()) == (today.m_cost(), today.t_cost(), today.p_cost())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_fits() {
        let cpu = Cpu::default();
        let verify = |password: &str, hash| verify(&cpu, password.to_owned(), hash);

        let hash = hash(&cpu, "correct horse".to_owned()).await.unwrap();

        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let right = verify("correct horse", Some(hash.clone())).await;
        assert_eq!(right.unwrap(), Verdict::Right);
        let wrong = verify("correct horse ", Some(hash)).await;
        assert_eq!(wrong.unwrap(), Verdict::Wrong);
        assert_eq!(verify("", None).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_fits_but_is_old() {
        let weak = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(1024, 1, 1, None).unwrap(),
        );
        let hash = weak
            .hash_password_with_salt(b"correct horse", &[1; 16])
            .unwrap()
            .to_string();

        let cpu = Cpu::default();
        let verdict = verify(&cpu, "correct horse".to_owned(), Some(hash)).await;

        assert_eq!(verdict.unwrap(), Verdict::RightButOld);
    }
}
