//! Opens stores of bytes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::StreamExt;
use object_store::{
    ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path, prefix::PrefixStore,
};
use url::Url;

use crate::config::{Config, Fault};

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long the store may be silent. A whole request may take any time: it lasts as long as a client that downloads a file
/// through it.
const SILENCE: Duration = Duration::from_secs(20);
/// How long failed requests are tried again.
const RETRY_TIME: Duration = Duration::from_secs(10);

fn fault(sentence: impl Into<String>) -> Fault {
    Fault::new("BLOBS_URL", sentence)
}

/// The folder that BLOBS_URL names, or the volume.
pub(super) fn folder(config: &Config) -> Result<(Arc<dyn ObjectStore>, PathBuf), Fault> {
    let url = config.blobs_url.expose();
    let path = match url.strip_prefix("file://") {
        Some(path) => PathBuf::from(path),
        None => config.volume_dir.clone(),
    };
    let cannot = |what: &str, e: &dyn std::fmt::Display| {
        fault(format!("cannot {what} the folder {}: {e}", path.display()))
    };
    std::fs::create_dir_all(&path).map_err(|e| cannot("make", &e))?;
    // Acknowledged bytes survive a power failure, as rows do.
    let store = LocalFileSystem::new_with_prefix(&path).map_err(|e| cannot("open", &e))?;
    Ok((Arc::new(store.with_fsync(true)), path))
}

/// `s3://KEY:SECRET@BUCKET/PREFIX?endpoint=URL&region=NAME`; without a key, that of the environment or of the machine.
pub(super) async fn s3(url: &str) -> Result<Arc<dyn ObjectStore>, Fault> {
    const FORM: &str = "is not of the form s3://KEY:SECRET@BUCKET/PREFIX?endpoint=URL&region=NAME";
    // Of all providers of TLS, this one needs no further tools to be built. Fails when another test has set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parsed = Url::parse(url).map_err(|_| fault(FORM))?;
    let bucket = parsed.host_str().ok_or_else(|| fault(FORM))?;
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIME)
        .with_read_timeout(SILENCE)
        .with_timeout_disabled();
    let retry = RetryConfig {
        max_retries: 3,
        retry_timeout: RETRY_TIME,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::from_env()
        .with_client_options(options)
        .with_retry(retry)
        .with_bucket_name(bucket);
    if let Some(secret) = parsed.password() {
        let decode = |text: &str| percent_decoded(text).ok_or_else(|| fault(FORM));
        builder = builder
            .with_access_key_id(decode(parsed.username())?)
            .with_secret_access_key(decode(secret)?);
    }
    for (key, value) in parsed.query_pairs() {
        builder = match &*key {
            "region" => builder.with_region(value),
            "endpoint" => builder
                .with_allow_http(value.starts_with("http://"))
                .with_endpoint(value),
            other => return Err(fault(format!("has the unknown parameter {other}"))),
        };
    }
    let store = builder.build().map_err(|e| fault(e.to_string()))?;
    let prefix = Path::from(parsed.path().trim_start_matches('/'));
    let store = PrefixStore::new(store, prefix);
    look(&store)
        .await
        .map_err(|error| fault(sentence(&error)))?;
    Ok(Arc::new(store))
}

fn percent_decoded(text: &str) -> Option<String> {
    let pair = format!("v={}", text.replace('+', "%2B"));
    let mut decoded = url::form_urlencoded::parse(pair.as_bytes());
    decoded.next().map(|(_, value)| value.into_owned())
}

/// Asks the store for anything.
pub(super) async fn look(store: &dyn ObjectStore) -> object_store::Result<()> {
    store
        .list(Some(&Path::from("file")))
        .next()
        .await
        .transpose()
        .map(drop)
}

/// Why a store cannot be used, without secrets. The library tells the status of a list only in its text.
fn sentence(error: &object_store::Error) -> String {
    const REFUSED: [&str; 2] = ["status code: 401", "status code: 403"];
    let text = error.to_string();
    let because = if text.contains("NoSuchBucket") {
        "has no such bucket"
    } else if REFUSED.iter().any(|sign| text.contains(sign)) {
        "refuses the key"
    } else {
        "cannot be reached: is the endpoint right?"
    };
    because.to_owned()
}
