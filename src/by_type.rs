//! A map with one value of each type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

use parking_lot::Mutex;

/// Values by a type's key, each created when it is first used.
#[derive(Default)]
pub struct ByType(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl ByType {
    /// The value under `key`. Each key must always be used with the same type.
    pub fn of<T: Default + Send + Sync + 'static>(&self, key: TypeId) -> Arc<T> {
        let mut all = self.0.lock();
        let value = all.entry(key).or_insert_with(|| Arc::<T>::default());
        Arc::clone(value)
            .downcast()
            .unwrap_or_else(|_| unreachable!("a key stands for one type"))
    }
}
