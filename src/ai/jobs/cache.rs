//! Models in memory: those that were asked last.

use std::{any::TypeId, sync::Arc};

use futures_util::TryStreamExt;
use moka::sync::Cache;

use crate::{
    ai::{model::LinearModel, model_path},
    app::App,
    error::{Error, Result},
    ids::AiModelId,
};

/// The most numbers and characters of all models together.
const MOST: u64 = 4 << 20;
/// The largest file: far more than that of the widest model.
const LARGEST: u64 = 16 << 20;

/// The models of trainings, which never change.
struct Models(Cache<(AiModelId, i32), Arc<LinearModel>>);

impl Default for Models {
    fn default() -> Self {
        let weigh = |_: &(AiModelId, i32), model: &Arc<LinearModel>| {
            let names: usize = model.features.iter().map(|name| name.len() + 8).sum();
            u32::try_from(names + 64).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST).weigher(weigh).build())
    }
}

/// The model of a training, or what is wrong with its file.
///
/// # Errors
/// `NOT_FOUND` when there is no file; `UNAVAILABLE`.
pub async fn load(
    app: &App,
    id: AiModelId,
    training: i32,
) -> Result<Result<Arc<LinearModel>, &'static str>> {
    let models = app.memory.of::<Models>(TypeId::of::<Models>());
    let key = (id, training);
    if let Some(model) = models.0.get(&key) {
        return Ok(Ok(model));
    }
    let mut blob = app.blobs.read(&model_path(id, training), None).await?;
    if blob.size > LARGEST {
        return Ok(Err("is damaged"));
    }
    let mut bytes = Vec::new();
    while let Some(part) = blob.content.try_next().await? {
        bytes.extend_from_slice(&part);
    }
    let read = app.cpu.run(crate::cpu::Share::Models, move || {
        LinearModel::from_bytes(&bytes)
    });
    let read: Result<_, Error> = read.await;
    Ok(read?.map(|model| {
        let model = Arc::new(model);
        models.0.insert(key, Arc::clone(&model));
        model
    }))
}
