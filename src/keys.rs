//! Keys: every secret of the program, made of JWT_SECRET for one purpose each. A key of one purpose tells nothing of
//! another's.

use std::{io::Write, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{Config, Fault};

/// All keys.
pub struct Keys {
    /// What signs access tokens: the bytes of JWT_SECRET themselves, so that others who know it can check a token.
    pub access_tokens: Vec<u8>,
    /// What tells anonymous readers apart.
    pub anonymous_readers: Key,
}

impl Keys {
    /// The keys that the configuration gives. On embedded stores, the secret may be made here.
    ///
    /// # Errors
    /// The setting that does not work.
    pub fn open(config: &Config) -> Result<Self, Fault> {
        let secret = secret(config)?;
        Ok(Self {
            anonymous_readers: Key::derived(&secret, "views of anonymous readers"),
            access_tokens: secret,
        })
    }
}

/// A key for keyed hashes of one purpose.
pub struct Key([u8; 32]);

impl Key {
    fn derived(secret: &[u8], purpose: &str) -> Self {
        Self(keyed_hash(secret, &[purpose.as_bytes()]))
    }

    /// The keyed hash (HMAC-SHA256) of `parts`, told apart from all other parts.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed_hash(&self.0, parts)
    }
}

fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        // Its length goes first, so that no two lists of parts are one text.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The configured secret; on embedded stores, without one, a secret of this folder's own that is made on the first start.
fn secret(config: &Config) -> Result<Vec<u8>, Fault> {
    let configured = config.jwt_secret.expose();
    if !configured.is_empty() {
        return Ok(configured.as_bytes().to_vec());
    }
    let path = config.volume_dir.join("jwt-secret");
    let fault = |e: std::io::Error| {
        Fault::new(
            "VOLUME_DIR",
            format!("cannot keep a secret in {}: {e}", path.display()),
        )
    };
    std::fs::create_dir_all(&config.volume_dir).map_err(fault)?;
    match std::fs::read(&path) {
        Ok(secret) if secret.len() >= 32 => return Ok(secret),
        Ok(_) => {
            return Err(Fault::new(
                "VOLUME_DIR",
                format!(
                    "{} is damaged: it has fewer than 32 bytes; delete it to have it made anew, which ends all access tokens",
                    path.display()
                ),
            ));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(fault(e)),
    }
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|e| {
        Fault::new(
            "JWT_SECRET",
            format!("the system has no random numbers: {e}"),
        )
    })?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(&path) {
        // Another program has just made it, and may still be writing.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            std::thread::sleep(Duration::from_millis(200));
            return std::fs::read(&path).map_err(fault);
        }
        opened => opened.map_err(fault)?,
    };
    file.write_all(&secret)
        .and_then(|()| file.sync_all())
        .map_err(fault)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_its_secret_and_its_purpose_and_a_hash_on_all_parts() {
        let key = Key::derived(b"secret", "purpose");

        assert_ne!(key.0, Key::derived(b"other", "purpose").0);
        assert_ne!(key.0, Key::derived(b"secret", "other").0);
        assert_eq!(key.hash(&[b"a", b"b"]), key.hash(&[b"a", b"b"]));
        assert_ne!(key.hash(&[b"a", b"b"]), key.hash(&[b"ab", b""]));
    }
}
