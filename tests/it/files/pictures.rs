//! Pictures: their size, what they tell, and thumbnails.

use http::StatusCode;
use image::{DynamicImage, ImageFormat, RgbaImage};
use serde_json::{Value, json};

use super::{encoded, picture, stored, yard};
use crate::support::{Client, multipart::POST};

/// The files of a post as they are now.
async fn files(ann: &Client, post: &str, size: i32) -> Vec<Value> {
    let query =
        "query($p: ID!, $s: Int!) { post(id: $p) { attachments { url thumbnailUrl(size: $s) } } }";
    let answer = ann.run(query, json!({ "p": post, "s": size })).await;
    answer.data();
    answer.at("post.attachments").as_array().unwrap().clone()
}

async fn shown(ann: &Client, address: &Value) -> (DynamicImage, String) {
    let got = ann.download(address.as_str().unwrap(), &[]).await;
    assert_eq!(got.status, StatusCode::OK);
    let media = got.header("content-type").to_owned();
    (image::load_from_memory(&got.bytes).unwrap(), media)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_has_a_size_and_soon_thumbnails() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let wide = encoded(&picture(1_500, 600), ImageFormat::Jpeg);
    let small = encoded(&picture(20, 10), ImageFormat::Png);
    let (post, told) = ann
        .post_with(
            &board,
            &[("w.jpg", &wide), ("s.png", &small), ("t.txt", b"text")],
        )
        .await;

    let sizes: Vec<_> = told
        .iter()
        .map(|f| (f["width"].as_i64(), f["height"].as_i64()))
        .collect();
    assert_eq!(
        sizes,
        [(Some(1_500), Some(600)), (Some(20), Some(10)), (None, None)]
    );
    assert!(told.iter().all(|f| f["thumbnailUrl"].is_null()));
    app.run_jobs().await;

    for (wanted, made) in [(32, 32), (33, 64), (256, 256), (1_024, 1_024)] {
        let files = files(&ann, &post, wanted).await;
        let (thumbnail, media) = shown(&ann, &files[0]["thumbnailUrl"]).await;
        assert_eq!((thumbnail.width(), media.as_str()), (made, "image/jpeg"));
        assert!(thumbnail.height().abs_diff(made * 2 / 5) <= 1);
        // Never enlarged.
        let (thumbnail, _) = shown(&ann, &files[1]["thumbnailUrl"]).await;
        assert_eq!((thumbnail.width(), thumbnail.height()), (20, 10));
        assert_eq!(files[2]["thumbnailUrl"], Value::Null);
    }
    let address = files(&ann, &post, 64).await[0]["thumbnailUrl"]
        .as_str()
        .unwrap()
        .to_owned();
    let part = ann.download(&address, &[("range", "bytes=0-1")]).await;
    assert_eq!(
        (part.status, &*part.bytes),
        (StatusCode::PARTIAL_CONTENT, &[0xff, 0xd8][..])
    );
    let larger = address.replace("size=64", "size=128");
    assert_eq!(
        ann.download(&larger, &[]).await.status,
        StatusCode::OK,
        "by the token"
    );
    assert_eq!(
        app.anonymous().download(&larger, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    for size in [31, 1_025, -1] {
        let query =
            "query($p: ID!, $s: Int!) { post(id: $p) { attachments { thumbnailUrl(size: $s) } } }";
        let refused = ann.run(query, json!({ "p": post, "s": size })).await;
        assert_eq!(refused.errors()[0]["extensions"]["code"], "INVALID");
    }
    // The thumbnails go with the file.
    ann.mutate("deletePost", json!({ "id": post }), "deletedPostId")
        .await
        .data();
    app.run_jobs().await;
    assert!(stored(&app).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thumbnail_keeps_what_is_transparent_and_how_the_picture_is_turned() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let clear: DynamicImage = RgbaImage::from_pixel(100, 50, image::Rgba([1, 2, 3, 0])).into();
    let clear = encoded(&clear, ImageFormat::Png);
    // Left half red; turned by 90 degrees to be shown, so that the upper half is.
    let mut half = picture(100, 50).to_rgb8();
    for (x, _, pixel) in half.enumerate_pixels_mut() {
        *pixel = if x < 50 {
            image::Rgb([250, 0, 0])
        } else {
            image::Rgb([0, 0, 250])
        };
    }
    let plain = encoded(&half.into(), ImageFormat::Jpeg);
    let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02\x01\x0f\0\x02\0\0\0\x04CAM\0\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut turned = plain[..2].to_vec();
    turned.extend([0xff, 0xe1]);
    turned.extend((exif.len() as u16 + 2).to_be_bytes());
    turned.extend(exif);
    turned.extend(&plain[2..]);
    let (post, told) = ann
        .post_with(&board, &[("c.png", &clear), ("t.jpg", &turned)])
        .await;

    assert_eq!(
        (told[1]["width"].as_i64(), told[1]["height"].as_i64()),
        (Some(50), Some(100))
    );
    app.run_jobs().await;
    let files = files(&ann, &post, 64).await;

    let (thumbnail, media) = shown(&ann, &files[0]["thumbnailUrl"]).await;
    assert_eq!(
        (media.as_str(), thumbnail.to_rgba8().get_pixel(5, 5).0[3]),
        ("image/png", 0)
    );
    let (thumbnail, _) = shown(&ann, &files[1]["thumbnailUrl"]).await;
    assert_eq!((thumbnail.width(), thumbnail.height()), (32, 64));
    let colour = |y| thumbnail.to_rgb8().get_pixel(16, y).0;
    assert!(
        colour(8)[0] > 200 && colour(56)[2] > 200,
        "{:?} {:?}",
        colour(8),
        colour(56)
    );
    // What is served tells how it is turned, and not of the camera.
    let served = ann
        .download(files[1]["url"].as_str().unwrap(), &[])
        .await
        .bytes;
    let has = |word: &[u8]| served.windows(word.len()).any(|window| window == word);
    assert!(has(b"Exif") && !has(b"CAM"));
    assert_eq!(told[1]["size"].as_u64(), Some(served.len() as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_would_fill_the_memory_is_refused() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let mut bomb = encoded(&picture(8, 8), ImageFormat::Png);
    let claim = |bytes: &mut Vec<u8>, width: u32, height: u32| {
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    };
    claim(&mut bomb, 60_000, 60_000);
    let input = json!({ "boardId": board, "title": "T", "content": "C" });
    let refused = ann
        .upload(
            "createPost",
            input.clone(),
            &[("ok.txt", b"x"), ("bomb.png", &bomb)],
            POST,
        )
        .await;
    assert_eq!(
        refused.violation(),
        ("files.1".into(), "TOO_MANY_PIXELS".into())
    );
    let damaged = ann
        .upload("createPost", input, &[("d.png", &bomb[..30])], POST)
        .await;
    assert_eq!(damaged.violation(), ("files.0".into(), "DAMAGED".into()));
    assert!(stored(&app).await.is_empty());
    // One that is kept, and that no thumbnails are made of: too large to decode, or not decodable.
    claim(&mut bomb, 12_000, 12_000);
    let mut torn = encoded(&picture(8, 8), ImageFormat::Png);
    claim(&mut torn, 7_000, 7_000);
    let (post, told) = ann
        .post_with(&board, &[("large.png", &bomb), ("torn.png", &torn)])
        .await;

    app.run_jobs().await;

    assert_eq!(told[0]["width"].as_i64(), Some(12_000));
    assert!(
        files(&ann, &post, 64)
            .await
            .iter()
            .all(|f| f["thumbnailUrl"].is_null())
    );
    assert_eq!(stored(&app).await.len(), 2);
}
