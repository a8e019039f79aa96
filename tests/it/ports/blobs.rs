//! Bytes: in a folder, and in an S3-compatible store.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::join, stream};
use madang::{
    blobs::{BlobPath, Blobs, Folder},
    error::{Error, Result},
};
use tokio::{sync::mpsc::Sender, task::JoinHandle};

use crate::support::{Backends, OwnServer, TestApp};

const ANY_SIZE: u64 = 1 << 30;

async fn blobs() -> (Arc<TestApp>, Blobs) {
    let app = TestApp::start().await;
    let blobs = app.app.blobs.clone();
    assert_eq!(
        blobs.is_local(),
        Backends::of_this_run() == Backends::Embedded
    );
    (app, blobs)
}

fn file(name: &str) -> BlobPath {
    BlobPath::new(Folder::Files, name)
}

/// `size` bytes of which no two parts are the same.
fn content(size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

async fn write(blobs: &Blobs, path: &BlobPath, content: &[u8]) -> Result<u64> {
    let parts: Vec<_> = content
        .chunks(100_000)
        .map(|part| Ok(Bytes::copy_from_slice(part)))
        .collect();
    blobs.write(path, stream::iter(parts), ANY_SIZE).await
}

/// Begins to write what is sent, until the sender is dropped.
fn begin_to_write(
    blobs: &Blobs,
    path: &BlobPath,
) -> (Sender<Result<Bytes>>, JoinHandle<Result<u64>>) {
    let (parts, coming) = tokio::sync::mpsc::channel(1);
    let coming = stream::unfold(coming, |mut coming| async {
        coming.recv().await.map(|part| (part, coming))
    });
    let (blobs, path) = (blobs.clone(), path.clone());
    let writing = tokio::spawn(async move { blobs.write(&path, coming, ANY_SIZE).await });
    (parts, writing)
}

async fn read(blobs: &Blobs, path: &BlobPath) -> Result<Vec<u8>> {
    let blob = blobs.read(path, None).await?;
    let parts: Vec<Bytes> = blob.content.try_collect().await?;
    Ok(parts.concat())
}

async fn all(blobs: &Blobs) -> Vec<String> {
    let all = blobs.older_than(Folder::Files, Duration::ZERO);
    let mut all: Vec<_> = all
        .map_ok(|stored| stored.path.to_string())
        .try_collect()
        .await
        .unwrap();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read_whole_and_in_parts() {
    let (_app, blobs) = blobs().await;
    // Nothing, a little, one part, and several parts.
    for size in [0, 7, 5 << 20, (12 << 20) + 1] {
        let (path, content) = (file(&format!("{size}")), content(size));

        assert_eq!(write(&blobs, &path, &content).await.unwrap(), size as u64);

        assert!(read(&blobs, &path).await.unwrap() == content, "{size}");
        let of = size as u64;
        let middle = of / 3..of / 3 * 2;
        for range in [
            0..1,
            middle,
            of.saturating_sub(3)..of,
            of.saturating_sub(3)..of + 9,
        ] {
            let part = blobs.read(&path, Some(range.clone())).await;
            if range.start >= of || range.is_empty() {
                assert_eq!(
                    part.err().unwrap().code().as_str(),
                    "INVALID",
                    "{size} {range:?}"
                );
                continue;
            }
            let part = part.unwrap();
            assert_eq!(
                (part.size, part.range.clone()),
                (of, range.start..range.end.min(of))
            );
            let read: Vec<Bytes> = part.content.try_collect().await.unwrap();
            let expected = &content[range.start as usize..range.end.min(of) as usize];
            assert!(read.concat() == expected, "{size} {range:?}");
        }
        let behind = blobs.read(&path, Some(of..of + 1)).await;
        assert_eq!(behind.err().unwrap().code().as_str(), "INVALID", "{size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_there_before_it_is_whole() {
    let (_app, blobs) = blobs().await;
    for size in [1_000, 11 << 20] {
        let path = file(&format!("{size}"));
        let (parts, writing) = begin_to_write(&blobs, &path);

        for part in content(size).chunks(1 << 20) {
            parts.send(Ok(Bytes::copy_from_slice(part))).await.unwrap();
            assert!(matches!(read(&blobs, &path).await, Err(Error::NotFound)));
        }
        assert!(!all(&blobs).await.contains(&path.to_string()));
        drop(parts);

        assert_eq!(writing.await.unwrap().unwrap(), size as u64);
        assert!(read(&blobs, &path).await.unwrap() == content(size));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_is_too_large_or_is_dropped_leaves_nothing() {
    let (app, blobs) = blobs().await;
    for size in [1_000, 11 << 20] {
        let path = file("a");
        let part = Bytes::from(content(size));
        let failing = stream::iter([Ok(part.clone()), Err(Error::Forbidden)]);
        assert!(matches!(
            blobs.write(&path, failing, ANY_SIZE).await,
            Err(Error::Forbidden)
        ));

        let limit = size as u64;
        let fits = stream::iter([Ok(part.clone())]);
        assert_eq!(
            blobs.write(&file("fits"), fits, limit).await.unwrap(),
            limit
        );
        let too_large = stream::iter([Ok(part.clone()), Ok(Bytes::from_static(b"x"))]);
        let refused = blobs.write(&path, too_large, limit).await;
        assert!(matches!(refused, Err(Error::TooLarge { limit: l }) if l == limit));

        let endless = stream::iter([Ok(part)]).chain(stream::pending());
        let dropped = tokio::time::timeout(
            Duration::from_millis(500),
            blobs.write(&path, endless, ANY_SIZE),
        );
        assert!(dropped.await.is_err());

        assert!(matches!(read(&blobs, &path).await, Err(Error::NotFound)));
        assert_eq!(all(&blobs).await, ["file/fits"]);
    }
    if blobs.is_local() {
        // Not even parts.
        let folder = app.volume.path().join("file");
        for attempt in 0.. {
            let names: Vec<_> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            if names == ["fits"] {
                break;
            }
            assert!(attempt < 200, "{names:?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_write_the_same_one_is_there_as_a_whole() {
    let (_app, blobs) = blobs().await;
    let path = file("a");
    let (one, other) = (content(6 << 20), vec![7; 7 << 20]);
    write(&blobs, &path, b"before").await.unwrap();

    let (first, second) = join(write(&blobs, &path, &one), write(&blobs, &path, &other)).await;

    first.unwrap();
    second.unwrap();
    let left = read(&blobs, &path).await.unwrap();
    assert!(left == one || left == other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_gone_and_deleting_it_again_is_fine() {
    let (_app, blobs) = blobs().await;
    write(&blobs, &file("a"), b"a").await.unwrap();
    write(&blobs, &file("b"), b"b").await.unwrap();

    for _ in 0..2 {
        blobs.delete(&file("a")).await.unwrap();
        assert!(matches!(
            read(&blobs, &file("a")).await,
            Err(Error::NotFound)
        ));
    }

    assert_eq!(all(&blobs).await, ["file/b"]);
    let missing = blobs.read(&file("a"), Some(0..1)).await;
    assert!(matches!(missing, Err(Error::NotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_see_what_is_old_in_their_folder() {
    let (app, blobs) = blobs().await;
    write(&blobs, &file("a"), b"abc").await.unwrap();
    write(&blobs, &BlobPath::new(Folder::Models, "m"), b"m")
        .await
        .unwrap();
    let old = async |folder| -> Vec<_> {
        let old = blobs.older_than(folder, Duration::from_secs(3_600));
        let old = old.map_ok(|stored| (stored.path.to_string(), stored.size));
        old.try_collect().await.unwrap()
    };

    assert_eq!(old(Folder::Files).await, []);
    app.advance(3_601);

    assert_eq!(old(Folder::Files).await, [("file/a".to_owned(), 3)]);
    assert_eq!(
        old(Folder::Models).await,
        [("ai_model_store/m".to_owned(), 1)]
    );
    assert_eq!(old(Folder::Datasets).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_out_of_its_folder() {
    let (app, blobs) = blobs().await;
    for name in [
        "../../outside",
        "..",
        ".",
        "a/../../b",
        "/etc/passwd",
        "%2e%2e",
        "이름 #1",
        "a\u{0}b",
    ] {
        let path = file(name);

        let written = write(&blobs, &path, name.as_bytes()).await;

        if written.is_ok() {
            assert_eq!(
                read(&blobs, &path).await.unwrap(),
                name.as_bytes(),
                "{name}"
            );
        }
        assert!(
            path.to_string().starts_with("file/") && path.to_string().matches('/').count() == 1,
            "{path}"
        );
    }
    for outside in ["outside", "b", "../outside"] {
        assert!(!app.volume.path().join(outside).exists(), "{outside}");
    }
}

fn is_unavailable<T>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Unavailable { backend: "blobs" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_is_named_and_used_again_when_it_is_back() {
    if Backends::of_this_run() == Backends::Embedded {
        // A folder does not go away; tests/it/crash.rs fills its disk.
        return;
    }
    let mut store = OwnServer::blobs().await;
    let app = TestApp::with(&["--blobs-url", &store.url()]).await;
    let blobs = &app.app.blobs;
    let is_up = async || -> bool {
        let backends = app.app.backends().await;
        backends.iter().any(|b| b.name == "blobs" && b.is_up)
    };
    let (parts, writing) = begin_to_write(blobs, &file("large"));
    for part in content(11 << 20).chunks(1 << 20) {
        parts.send(Ok(Bytes::copy_from_slice(part))).await.unwrap();
    }
    write(blobs, &file("a"), b"a").await.unwrap();
    assert!(is_up().await);

    store.kill();
    drop(parts);

    assert!(is_unavailable(writing.await.unwrap()), "it was cut off");
    assert!(is_unavailable(write(blobs, &file("b"), b"b").await));
    assert!(is_unavailable(read(blobs, &file("a")).await));
    assert!(is_unavailable(blobs.read(&file("a"), Some(0..1)).await));
    assert!(is_unavailable(blobs.delete(&file("a")).await));
    let list = blobs.older_than(Folder::Files, Duration::ZERO);
    assert!(is_unavailable(list.try_collect::<Vec<_>>().await));
    assert!(!is_up().await);
    // Everything else goes on.
    app.admin().await.board(crate::support::any_board()).await;

    store.start_again(&[]).await;

    write(blobs, &file("b"), b"b").await.unwrap();
    assert_eq!(read(blobs, &file("b")).await.unwrap(), b"b");
    assert_eq!(all(blobs).await, ["file/b"]);
    assert!(is_up().await);
}

/// Answers one request as S3 does when the key is wrong. moto takes any key.
fn s3_that_refuses() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        const BODY: &str = "<Error><Code>SignatureDoesNotMatch</Code></Error>";
        let (mut stream, _) = listener.accept().unwrap();
        let _request = stream.read(&mut [0; 8 << 10]).unwrap();
        let length = BODY.len();
        let head =
            format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\nconnection: close");
        write!(stream, "{head}\r\n\r\n{BODY}").unwrap();
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_cannot_be_used_are_named_with_the_reason_and_without_secrets() {
    let volume = tempfile::tempdir().unwrap();
    let open = async |url: &str| {
        let config = crate::support::config(volume.path(), &["--blobs-url", url]);
        let opened = Blobs::open(&config, madang::clock::Clock::system()).await;
        opened
            .err()
            .map(|fault| fault.to_string())
            .unwrap_or_default()
    };

    let nobody = open("s3://KEY:hush%2Fhush@bucket?endpoint=http://127.0.0.1:9").await;
    assert_eq!(
        nobody,
        "BLOBS_URL: cannot be reached: is the endpoint right?"
    );
    let refuses = s3_that_refuses();
    let refused = open(&format!("s3://KEY:hush@bucket?endpoint={refuses}")).await;
    assert_eq!(refused, "BLOBS_URL: refuses the key");
    let unknown = open("s3://KEY:hush@bucket?server=x").await;
    assert_eq!(unknown, "BLOBS_URL: has the unknown parameter server");
    if let Some(url) = crate::support::blobs_url(Backends::of_this_run()) {
        let missing = open(&url.replace("@madang/", "@nothing-here/")).await;
        assert_eq!(missing, "BLOBS_URL: has no such bucket");
    }
    std::fs::write(volume.path().join("a-file"), "").unwrap();
    let no_folder = open(&format!("file://{}/a-file/folder", volume.path().display())).await;
    assert!(
        no_folder.starts_with("BLOBS_URL: cannot make the folder "),
        "{no_folder}"
    );
}
