//! The log of the whole run at its most talkative, and the secrets that the tests used, in files for `test.sh` to compare:
//! no secret may stand in the log.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex},
};

use serde_json::Value;

/// Set by `TEST_LOG_DIR`. Without it nothing is logged.
static FOLDER: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("TEST_LOG_DIR").map(PathBuf::from));

static LOG: LazyLock<()> = LazyLock::new(|| {
    if let Some(folder) = &*FOLDER {
        let log = Mutex::new(append(&folder.join("log")));
        let subscriber = madang::logging::to_writer(log, "trace");
        tracing::subscriber::set_global_default(subscriber).unwrap();
    }
});

static SECRETS: LazyLock<Option<Mutex<File>>> = LazyLock::new(|| {
    let folder = FOLDER.as_ref()?;
    Some(Mutex::new(append(&folder.join("secrets"))))
});

fn append(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

/// Begins to log, once.
pub fn start() {
    LazyLock::force(&LOG);
}

/// Notes the secrets among the values of `json`, by their names.
pub fn note_secrets(json: &Value) {
    const NAMES: [&str; 6] = [
        "password",
        "currentPassword",
        "newPassword",
        "accessToken",
        "refreshToken",
        "token",
    ];
    match json {
        Value::Array(items) => items.iter().for_each(note_secrets),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(secret) if NAMES.contains(&name.as_str()) => note_secret(secret),
                    _ => note_secrets(value),
                }
            }
        }
        _ => {}
    }
}

/// Notes one secret. Short ones, which tests make up to be refused, would be found anywhere.
pub fn note_secret(secret: &str) {
    if let (Some(secrets), true) = (&*SECRETS, secret.len() >= 12 && !secret.contains('\n')) {
        writeln!(secrets.lock().unwrap(), "{secret}").unwrap();
    }
}
