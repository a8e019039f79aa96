//! AI models in the schema.

mod logs;
mod models;

use std::sync::Arc;

use async_graphql::{Context, Upload};
use futures_util::{StreamExt, stream::BoxStream};

pub use self::{
    logs::{AiLogMutation, AiLogQuery, AiLogSubscription},
    models::{AiModelMutation, AiModelQuery, AiModelSubscription},
};
use crate::{
    access::Caller,
    context::ContextExt,
    error::Result,
    files::{self, Incoming},
    watch::{self, State},
};

/// The mutations that take a data set, which may be larger than other files.
pub const WITH_DATASETS: [&str; 3] = ["createAiModel", "retrainAiModel", "createAiLog"];

/// The data set that came with a request.
fn dataset(ctx: &Context<'_>, upload: Option<Upload>) -> Result<Option<Incoming>> {
    let uploads = upload.map(|upload| vec![upload]);
    Ok(files::incoming(ctx, uploads)?.pop())
}

/// The states of `state`, from the present one to the last.
async fn follow<S: State>(
    ctx: &Context<'_>,
    state: S,
) -> Result<BoxStream<'static, Result<S::Item>>> {
    let caller = Arc::clone(ctx.data_unchecked::<Arc<Caller>>());
    let followed = watch::follow_state(ctx.app().clone(), caller, state).await?;
    Ok(followed.boxed())
}
