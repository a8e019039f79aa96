//! Files that people attach to posts and comments. Whoever may read the post or the comment may read its files.

pub mod graphql;
mod images;
pub mod jobs;
mod media;
mod metadata;
mod name;
pub mod readable;
pub mod store;
pub mod url;

use async_graphql::{Context, Upload};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::{
    images::{LARGEST_THUMBNAIL, SMALLEST_THUMBNAIL, thumbnail_size},
    media::MediaType,
    name::FileName,
};
use crate::{
    blobs::{BlobPath, Folder},
    clock::Timestamp,
    db::tables::files,
    error::{Error, Result},
    ids::{CommentId, FileId, PostId},
    queue::Payload,
};

/// A file of a post or a comment.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = files)]
pub struct Attachment {
    pub id: FileId,
    pub post_id: Option<PostId>,
    pub comment_id: Option<CommentId>,
    pub name: FileName,
    pub content_type: MediaType,
    /// In bytes.
    pub size: i64,
    /// Of images, in pixels, as they are shown.
    pub width: Option<i32>,
    pub height: Option<i32>,
    /// The media type of its thumbnails, once they are made.
    pub thumbnail_type: Option<MediaType>,
    pub created_at: Timestamp,
}

impl Attachment {
    /// The longest side of the thumbnail for `size` pixels, if there is one.
    #[must_use]
    pub fn thumbnail(&self, size: u32) -> Option<u32> {
        self.thumbnail_type.as_ref()?;
        let side = self.width?.max(self.height?);
        Some(thumbnail_size(size, u32::try_from(side).ok()?))
    }
}

/// What a file is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    Post(PostId),
    Comment(CommentId),
}

impl Parent {
    /// The most files that it may have.
    #[must_use]
    pub fn most(self) -> usize {
        match self {
            Self::Post(_) => 10,
            Self::Comment(_) => 5,
        }
    }
}

/// How the files of a post or a comment are changed.
#[derive(Debug, Default)]
pub struct FileChanges {
    pub add: Vec<Incoming>,
    pub remove: Vec<FileId>,
}

/// Has the thumbnails of a picture made.
#[derive(Serialize, Deserialize)]
pub struct MakeThumbnails {
    file: FileId,
}

impl Payload for MakeThumbnails {
    const KIND: &'static str = "make_thumbnails";
}

/// Has the files deleted that are attached to nothing any more.
#[derive(Serialize, Deserialize)]
pub struct DeleteFiles {}

impl Payload for DeleteFiles {
    const KIND: &'static str = "delete_files";
}

/// A file that came with a request. It is in a temporary file without a name, which is gone when it is dropped.
#[derive(Debug)]
pub struct Incoming {
    pub name: FileName,
    pub content: std::fs::File,
    /// In bytes.
    pub size: u64,
}

/// The files of a request that an input names.
///
/// # Errors
/// `INTERNAL` when the system cannot open a file twice.
pub fn incoming(ctx: &Context<'_>, uploads: Option<Vec<Upload>>) -> Result<Vec<Incoming>> {
    let uploads = uploads.unwrap_or_default();
    let open = |upload: Upload| -> std::io::Result<Incoming> {
        let value = upload.value(ctx)?;
        Ok(Incoming {
            size: value.size()?,
            name: FileName::clean(&value.filename),
            content: value.content,
        })
    };
    let opened: std::io::Result<_> = uploads.into_iter().map(open).collect();
    opened.map_err(|error| Error::internal(error))
}

/// Where the bytes of a file are.
#[must_use]
pub fn path(id: FileId) -> BlobPath {
    BlobPath::new(Folder::Files, id)
}

/// Where its thumbnail of this size is.
#[must_use]
pub fn thumbnail_path(id: FileId, size: u32) -> BlobPath {
    BlobPath::new(Folder::Files, format_args!("{id}-{size}"))
}
