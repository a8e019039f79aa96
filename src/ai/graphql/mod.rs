//! AI models in the schema.

mod logs;
mod models;

use async_graphql::{Context, Upload};

pub use self::{
    logs::{AiLogMutation, AiLogQuery, AiLogSubscription},
    models::{AiModelMutation, AiModelQuery, AiModelSubscription},
};
use crate::{
    error::Result,
    files::{self, Incoming},
};

/// The mutations that take a data set, which may be larger than other files.
pub const WITH_DATASETS: [&str; 3] = ["createAiModel", "retrainAiModel", "createAiLog"];

/// The data set that came with a request.
fn dataset(ctx: &Context<'_>, upload: Option<Upload>) -> Result<Option<Incoming>> {
    let uploads = upload.map(|upload| vec![upload]);
    Ok(files::incoming(ctx, uploads)?.pop())
}
