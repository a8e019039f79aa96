//! Documents from strangers, for fuzzing: see [`crate::fuzz`].

use std::sync::Arc;

use async_graphql::{Executor, Request, SchemaEnv, Variables};
use clap::Parser;
use futures_util::FutureExt;

use super::{Documents, Task, cost, documents::ERRORS, variables};
use crate::config::Limits;

/// Prepares documents, as the engine does.
pub struct Examiner {
    types: SchemaEnv,
    documents: Documents,
    limits: Limits,
}

/// The default limits.
pub(super) fn limits() -> Limits {
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        limits: Limits,
    }
    Defaults::parse_from(["fuzz"]).limits
}

impl Examiner {
    /// For documents of this schema.
    ///
    /// # Panics
    /// If the schema does not show its types.
    pub fn new(executor: &impl Executor) -> Self {
        let limits = limits();
        Self {
            types: types(executor),
            documents: Documents::new(limits.clone(), true, None),
            limits,
        }
    }

    /// Prepares all operations of a document that needs no variables.
    ///
    /// # Panics
    /// If there are too many errors, or if a field of the root was lost.
    pub fn examine(&self, text: &str) {
        let registry = &self.types.registry;
        let document = match self.documents.read(registry, text) {
            Ok(document) => document,
            Err(errors) => return assert!((1..=ERRORS).contains(&errors.len())),
        };
        for index in 0..document.len() {
            let definitions = &document.operation(index).variable_definitions;
            let coerced = variables::coerce(registry, definitions, Variables::default(), 0);
            let Ok(variables) = coerced else { continue };
            if let Ok(operation) = self
                .documents
                .decide(registry, &document, index, &variables)
            {
                let selected = &operation.definition.node.selection_set.node.items;
                assert_eq!(operation.root_fields.len(), selected.len());
                _ = cost::check(&operation.costs, &variables, &self.limits);
            }
        }
    }
}

/// The types of a schema.
///
/// # Panics
/// If it has no extension that shows them.
pub(super) fn types(executor: &impl Executor) -> SchemaEnv {
    let shown = Arc::default();
    let request = Request::new(String::new()).data(Task::Show(Arc::clone(&shown)));
    executor.execute(request).now_or_never();
    let types = shown.read().clone();
    types.expect("a schema with the extension")
}
