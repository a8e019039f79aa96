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

/// The most bytes of all models together.
const MOST: u64 = 8 << 20;
/// Bytes of a feature beside its name: a coefficient, and where the name is.
const ENTRY: usize = 48;
/// The largest file: far more than that of the widest model.
const LARGEST: u64 = 16 << 20;

/// The models of trainings, which never change.
struct Models(Cache<(AiModelId, i32), Arc<LinearModel>>);

impl Default for Models {
    fn default() -> Self {
        let weigh = |_: &_, model: &Arc<LinearModel>| weight(model);
        Self(Cache::builder().max_capacity(MOST).weigher(weigh).build())
    }
}

/// About the bytes that a model takes.
fn weight(model: &LinearModel) -> u32 {
    let features = model.features.iter();
    let bytes: usize = features.map(|name| name.len() + ENTRY).sum();
    u32::try_from(bytes + ENTRY).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ai::regression::Solution, clock::Clock};

    #[test]
    fn models_that_were_not_asked_for_long_make_room_for_others() {
        let models = Models::default();
        let features: Vec<_> = (0..500).map(|n| format!("{n:0200}")).collect();
        let solution = Solution {
            intercept: 0.0,
            coefficients: vec![0.0; 500],
        };
        let model = Arc::new(LinearModel::new(features, "y".to_owned(), &solution));
        let clock = Clock::system();

        for _ in 0..1_000 {
            models.0.insert((clock.id(), 1), Arc::clone(&model));
            models.0.run_pending_tasks();
            assert!(models.0.weighted_size() <= MOST);
        }

        assert!(models.0.entry_count() > 10);
    }
}
