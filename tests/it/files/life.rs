//! What becomes of files: with what they belong to, and when nothing names them.

use bytes::Bytes;
use futures_util::stream;
use madang::blobs::{BlobPath, Folder};
use serde_json::json;

use super::{stored, yard};
use crate::support::{TestApp, multipart::COMMENT};

/// Two posts with files and comments with files, on a board.
async fn talk(app: &std::sync::Arc<TestApp>, board: &str) -> (String, String) {
    let ann = app.user("ann").await;
    let (first, _) = ann.post_with(board, &[("a", b"a"), ("b", b"b")]).await;
    let (_, _) = ann.post_with(board, &[("c", b"c")]).await;
    let input = json!({ "postId": first, "content": "C" });
    let comment = ann
        .upload("createComment", input, &[("d", b"d")], COMMENT)
        .await;
    (first, comment.text("createComment.comment.id"))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_with_what_they_are_attached_to() {
    let (app, admin, board) = yard().await;
    let (post, comment) = talk(&app, &board).await;
    assert_eq!(stored(&app).await.len(), 4);

    admin
        .mutate(
            "deleteComment",
            json!({ "id": comment }),
            "deletedCommentId",
        )
        .await
        .data();
    app.run_jobs().await;
    assert_eq!(stored(&app).await.len(), 3);
    admin
        .mutate("deletePost", json!({ "id": post }), "deletedPostId")
        .await
        .data();
    app.run_jobs().await;
    assert_eq!(stored(&app).await.len(), 1);
    admin
        .mutate("deleteBoard", json!({ "id": board }), "deletedBoardId")
        .await
        .data();
    app.run_jobs().await;

    assert!(stored(&app).await.is_empty());
    let rows = app.rows().await;
    assert!(
        !rows.iter().any(|row| row.starts_with("files")),
        "{rows:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_s_files_go_with_its_post() {
    let (app, admin, board) = yard().await;
    let (post, _) = talk(&app, &board).await;

    admin
        .mutate("deletePost", json!({ "id": post }), "deletedPostId")
        .await
        .data();
    app.run_jobs().await;

    assert_eq!(stored(&app).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_stay_when_their_author_goes() {
    let (app, admin, board) = yard().await;
    let ann = app.user("ann").await;
    let (post, _) = ann.post_with(&board, &[("a", b"a")]).await;

    admin
        .mutate("deleteUser", json!({ "id": ann.id }), "deletedUserId")
        .await
        .data();
    app.run_jobs().await;

    let query = "query($p: ID!) { post(id: $p) { attachments { url } } }";
    let url = admin
        .run(query, json!({ "p": post }))
        .await
        .text("post.attachments.0.url");
    assert_eq!(&*admin.download(&url, &[]).await.bytes, b"a");
    admin
        .mutate("deletePost", json!({ "id": post }), "deletedPostId")
        .await
        .data();
    app.run_jobs().await;
    assert!(stored(&app).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_without_a_row_are_swept_once_they_are_old() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let (_, files) = ann.post_with(&board, &[("a", b"a")]).await;
    let kept = files[0]["id"].as_str().unwrap();
    let write = async |name: &str| {
        let path = BlobPath::new(Folder::Files, name);
        let content = stream::iter([Ok(Bytes::from_static(b"left over"))]);
        app.app.blobs.write(&path, content, 100).await.unwrap();
    };
    let lost = app.id_of_nothing("file");
    for name in [
        &lost,
        &format!("{lost}-256"),
        &format!("{kept}-256"),
        "somebody-else-s.txt",
    ] {
        write(name).await;
    }

    app.run_jobs().await;
    assert_eq!(stored(&app).await.len(), 5, "still young");
    app.advance(2 * 3_600);
    app.run_jobs().await;

    let left = stored(&app).await;
    let expected = [kept, &format!("{kept}-256"), "somebody-else-s.txt"];
    assert_eq!(left, expected.map(|name| format!("file/{name}")));
}
