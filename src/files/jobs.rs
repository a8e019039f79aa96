//! Background work of files: thumbnails, and deleting bytes that nothing names.

use std::{collections::HashMap, time::Duration};

use futures_util::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{
    Attachment, DeleteFiles, LARGEST_THUMBNAIL, MakeThumbnails, SMALLEST_THUMBNAIL, images, path,
    store, thumbnail_path,
};
use crate::{
    app::App,
    blobs::{BlobPath, Folder, Stored},
    cpu::Share,
    error::Result,
    ids::FileId,
    queue::Payload,
    work::{Done, Failure, Run, Work},
};

/// Rows in one transaction.
const BATCH: i64 = 100;
/// How old bytes without a row must be to be deleted: much older than a request can be that will still write the row.
const LEFT_OVER: Duration = Duration::from_secs(3_600);

impl Work for MakeThumbnails {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let id = self.file;
        let found = run
            .app
            .db
            .read(move |conn| store::find(conn, &[id]))
            .await?;
        let Some(file) = found.into_iter().next() else {
            return Ok(run.done());
        };
        let made = make(&run.app, file).await?;
        for (size, bytes) in made.all {
            let content = stream::iter([Ok(bytes.into())]);
            let path = thumbnail_path(id, size);
            run.app.blobs.write(&path, content, u64::MAX).await?;
        }
        run.finish(move |conn| store::note_thumbnails(conn, id, &made.media))
            .await
    }
}

async fn make(app: &App, file: Attachment) -> Result<images::Thumbnails, Failure> {
    let copy = app
        .blobs
        .file(&path(file.id), &app.config.volume_dir)
        .await?;
    let draw = move || images::thumbnails(copy, &file.content_type);
    let drawn = app.cpu.run(Share::Pictures, draw).await?;
    drawn.map_err(|reason| Failure::Final(format!("the picture cannot be decoded: {reason}")))
}

impl Work for DeleteFiles {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        loop {
            let unattached = |conn: &mut crate::db::Conn| store::unattached(conn, BATCH);
            let found = run.app.db.read(unattached).await?;
            if found.is_empty() {
                return Ok(run.done());
            }
            for (id, has_thumbnails) in &found {
                let thumbnails = has_thumbnails.then(|| thumbnails(*id));
                for path in thumbnails.into_iter().flatten().chain([path(*id)]) {
                    run.app.blobs.delete(&path).await?;
                }
            }
            let ids: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
            run.write(move |conn| store::delete(conn, &ids)).await?;
        }
    }
}

/// Where the thumbnails of a file can be. One that is made meanwhile is left to the sweep.
fn thumbnails(id: FileId) -> impl Iterator<Item = BlobPath> {
    let sizes = std::iter::successors(Some(SMALLEST_THUMBNAIL), |size| Some(size * 2));
    let sizes = sizes.take_while(|size| *size <= LARGEST_THUMBNAIL);
    sizes.map(move |size| thumbnail_path(id, size))
}

/// Deletes bytes that no row names, as requests leave them that were broken off or refused, or whose server died.
#[derive(Default, Serialize, Deserialize)]
pub struct SweepFiles {}

impl Payload for SweepFiles {
    const KIND: &'static str = "sweep_files";
}

impl Work for SweepFiles {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        // A job that has failed for good may have left some.
        let waiting = run.app.clone();
        let waiting = run
            .write(move |conn| store::clear_away(conn, &waiting))
            .await?;
        if let Some(waiting) = waiting {
            run.app.queue.announce(waiting);
        }
        let blobs = &run.app.blobs;
        blobs.delete_unfinished(Folder::Files, LEFT_OVER).await?;
        let old = blobs.older_than(Folder::Files, LEFT_OVER);
        let mut batches = old.try_chunks(BATCH as usize);
        while let Some(batch) = batches.try_next().await.map_err(|e| e.1)? {
            sweep(&run.app, batch).await?;
        }
        Ok(run.done())
    }
}

async fn sweep(app: &App, batch: Vec<Stored>) -> Result<()> {
    let mut paths = HashMap::<FileId, Vec<BlobPath>>::new();
    for stored in batch {
        // What has another name is not ours.
        if let Some(id) = file_of(&stored.path) {
            paths.entry(id).or_default().push(stored.path);
        }
    }
    let ids: Vec<_> = paths.keys().copied().collect();
    for id in app.db.read(move |conn| store::known(conn, &ids)).await? {
        paths.remove(&id);
    }
    for (id, paths) in paths {
        for path in paths {
            app.blobs.delete(&path).await?;
        }
        tracing::info!(file = %id, "bytes without a row were deleted");
    }
    Ok(())
}

/// The file that these bytes are of.
fn file_of(path: &BlobPath) -> Option<FileId> {
    let id = path.name().split('-').next()?;
    FileId::parse(id).ok()
}
