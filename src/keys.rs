//! Keys: every secret of the program, each derived from JWT_SECRET for one purpose. A key reveals nothing about
//! another.

use std::{io::Write, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{Config, Fault};

/// All keys.
pub struct Keys {
    /// Signs access tokens. The bytes of JWT_SECRET themselves, so that other programs that have it can verify tokens.
    pub access_tokens: Vec<u8>,
    /// Identifies anonymous readers.
    pub anonymous_readers: Key,
    /// Signs the addresses of files.
    pub file_urls: Key,
    /// Signs the sign-in session in a refresh token.
    pub refresh_tokens: Key,
}

impl Keys {
    /// The keys for this configuration. On embedded stores, this creates the secret when there is none.
    ///
    /// # Errors
    /// The setting that does not work.
    pub fn open(config: &Config) -> Result<Self, Fault> {
        let secret = secret(config)?;
        Ok(Self {
            anonymous_readers: Key::derived(&secret, "views of anonymous readers"),
            file_urls: Key::derived(&secret, "addresses of files"),
            refresh_tokens: Key::derived(&secret, "sessions of refresh tokens"),
            access_tokens: secret,
        })
    }
}

/// Bytes of a signature.
const SIGNATURE: usize = 16;
/// What [`Key::sign`] makes.
pub type Signature = [u8; SIGNATURE];

/// A key for keyed hashes of one purpose.
pub struct Key([u8; 32]);

impl Key {
    fn derived(secret: &[u8], purpose: &str) -> Self {
        Self(keyed_hash(secret, &[purpose.as_bytes()]))
    }

    /// The HMAC-SHA256 of `parts`. Different lists of parts have different hashes.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed_hash(&self.0, parts)
    }

    /// A signature of `parts`: the start of their hash.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> Signature {
        let mut signature = Signature::default();
        signature.copy_from_slice(&self.hash(parts)[..SIGNATURE]);
        signature
    }

    /// Whether this is the signature of `parts`. It takes the same time wherever they differ.
    #[must_use]
    pub fn has_signed(&self, parts: &[&[u8]], signature: &Signature) -> bool {
        let mac = keyed(&self.0, parts);
        mac.verify_truncated_left(signature).is_ok()
    }
}

fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("a key of any length");
    for part in parts {
        // The length goes first, so that no two lists of parts are hashed as the same bytes.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

/// The configured secret. Without one, on embedded stores: a secret in the volume folder, created on the first start.
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
        // Another process has just created it, and may still be writing.
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
