//! Forms from strangers, for fuzzing: see [`crate::fuzz`].

use std::{convert::Infallible, io::Read, sync::LazyLock};

use axum::body::{Body, Bytes};
use clap::Parser;
use futures_util::stream;
use http::HeaderMap;
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};

use super::{from_json, multipart::Form};
use crate::{
    budget::{Arriving, Budget},
    config::Config,
};

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    config: Config,
}

/// A form with the boundary `b`: the same in whatever portions it comes.
///
/// # Panics
/// If it is not the same.
pub fn form(bytes: &[u8]) {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
    });
    let whole = RUNTIME.block_on(read(bytes, bytes.len().max(1)));
    let portions = RUNTIME.block_on(read(bytes, 1 + bytes.len() % 7));
    assert_eq!(whole, portions);
}

/// The operations and the files. `None` for a form that is refused.
async fn read(bytes: &[u8], portion: usize) -> Option<(Map<String, Value>, Vec<Vec<u8>>)> {
    static CONFIG: LazyLock<Config> = LazyLock::new(|| {
        let mut config = Defaults::parse_from(["fuzz"]).config;
        config.volume_dir = std::env::temp_dir();
        config.max_file_size = 1 << 10;
        config
    });
    let portions = bytes.chunks(portion).map(Bytes::copy_from_slice);
    let portions: Vec<_> = portions.map(Ok::<_, Infallible>).collect();
    let body = Body::from_stream(stream::iter(portions));
    let budget = Budget::new(&CONFIG.limits);
    let arriving = Arriving::new(&budget, [192, 0, 2, 1].into());
    let mut form = Form::new(&CONFIG, &HeaderMap::new(), body, "b".to_owned(), arriving);
    let read = async |form: &mut Form| {
        let operations = form.operations().await.ok()?;
        let map = form.map().await.ok()?;
        let mut object = from_json(&operations).ok()?;
        form.apply(&map, &mut object).ok()?;
        let received = form.receive(None).await.ok()?;
        assert_eq!(received.files.len(), form.files());
        let contents = received.files.into_iter().map(|mut file| {
            let mut content = Vec::new();
            file.content.read_to_end(&mut content).expect("a file");
            content
        });
        Some((object, contents.collect()))
    };
    let found = read(&mut form).await;
    form.end().await;
    assert_eq!((budget.held(), budget.addresses()), (0, 0));
    found
}
