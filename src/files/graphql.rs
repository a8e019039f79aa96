//! Files in the schema.

use async_graphql::{Context, ID, Object};

use super::{Attachment, LARGEST_THUMBNAIL, SMALLEST_THUMBNAIL, url};
use crate::{
    clock::Timestamp,
    context::ContextExt,
    error::{Error, Result, Rule},
};

/// A file of a post or a comment.
#[Object]
impl Attachment {
    /// The file's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// Its name, as it was uploaded, without what file systems refuse. At most 255 bytes.
    async fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Its media type, by its content.
    async fn content_type(&self) -> &str {
        self.content_type.as_str()
    }

    /// Its size in bytes.
    async fn size(&self) -> i64 {
        self.size
    }

    /// The width of a picture in pixels; null for other files.
    async fn width(&self) -> Option<i32> {
        self.width
    }

    /// The height of a picture in pixels; null for other files.
    async fn height(&self) -> Option<i32> {
        self.height
    }

    /// When it was uploaded.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Where it can be loaded from, without a header, for the next 15 to 30 minutes. Relative to this server unless it
    /// knows its PUBLIC_URL.
    async fn url(&self, ctx: &Context<'_>) -> String {
        url::signed(ctx.app(), &ctx.actor(), self, None)
    }

    /// Where the thumbnail of a picture can be loaded from, like `url`; null for other files, and until it is made.
    async fn thumbnail_url(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            default = 256,
            desc = "The longest side in pixels, 32 to 1024. It is rounded up to a power of two."
        )]
        size: i32,
    ) -> Result<Option<String>> {
        let range = SMALLEST_THUMBNAIL..=LARGEST_THUMBNAIL;
        let size = u32::try_from(size).ok().filter(|size| range.contains(size));
        let size = size.ok_or_else(|| {
            let (min, max) = (SMALLEST_THUMBNAIL.into(), LARGEST_THUMBNAIL.into());
            Error::invalid("size", Rule::OutOfRange { min, max })
        })?;
        let made = self.thumbnail(size);
        Ok(made.map(|size| url::signed(ctx.app(), &ctx.actor(), self, Some(size))))
    }
}
