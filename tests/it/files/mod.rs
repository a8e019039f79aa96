//! Files of posts and comments.

mod downloads;
mod hostile;
mod life;
mod pictures;
mod processes;
mod uploads;

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use image::{DynamicImage, ImageFormat, RgbImage};
use madang::blobs::Folder;

use crate::support::{Client, TestApp, any_board};

/// A server, its admin, and a board that everybody may enter.
async fn yard() -> (Arc<TestApp>, Client, String) {
    yard_with(&[]).await
}

async fn yard_with(flags: &[&str]) -> (Arc<TestApp>, Client, String) {
    let app = TestApp::with(flags).await;
    let admin = app.admin().await;
    let board = admin.board(any_board()).await;
    (app, admin, board)
}

/// The paths of all bytes that are stored for files.
async fn stored(app: &TestApp) -> Vec<String> {
    let all = app.app.blobs.older_than(Folder::Files, Duration::ZERO);
    let mut all: Vec<_> = all
        .map_ok(|stored| stored.path.to_string())
        .try_collect()
        .await
        .unwrap();
    all.sort();
    all
}

/// A picture of many colours.
fn picture(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([
            (x * 7 % 256) as u8,
            (y * 5 % 256) as u8,
            ((x + y) % 256) as u8,
        ])
    })
    .into()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
