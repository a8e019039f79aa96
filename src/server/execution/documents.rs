//! Caches documents. Reading one (parsing, validation, normalisation) costs far more than a lookup, and clients send
//! the same few over and over.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_graphql::{
    Name, Positioned, Variables,
    parser::types::{
        Directive, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
    },
    registry::Registry,
};
use async_graphql_value::{ConstValue, Value};
use moka::sync::Cache;

use super::{
    collect::{Below, Collected, Collector, Conditions, condition},
    cost::{self, Cost},
    limits, normal, parse,
    rules::{self, NeverNull},
};
use crate::{
    access::Access,
    config::Limits,
    direct::Guarded,
    error::{Error, Rule, short},
    fanout::Shareable,
};

/// The approximate size of each of the two caches, in bytes.
const CACHED: u64 = 6 << 20;
/// The approximate size of a cached selection, in bytes.
const SELECTION: usize = 600;
/// The most errors in one response: a request could break thousands of rules.
pub(super) const ERRORS: usize = 100;

/// A document that is valid and within the limits.
pub(super) struct Document {
    /// Unique in this process. It replaces the text in the keys of operations.
    id: u64,
    /// Bytes of its text.
    size: usize,
    /// More than it has selections.
    tokens: usize,
    executable: ExecutableDocument,
    operations: Vec<Entry>,
}

/// An operation of a document.
struct Entry {
    name: Option<Name>,
    definition: Positioned<OperationDefinition>,
    /// Variables that `@skip` and `@include` read.
    conditions: Vec<Name>,
    never_null: NeverNull,
}

/// An operation with decided conditions, merged selections and no fragments.
pub(super) struct Operation {
    pub definition: Positioned<OperationDefinition>,
    /// Names of the root's fields, without aliases.
    pub root_fields: Vec<String>,
    pub costs: Vec<Cost>,
    pub guarded: Arc<Guarded>,
    /// Whether its events are the same for all viewers.
    pub is_shared: bool,
    selections: usize,
    /// Bytes of its document's text, of which it has all values.
    size: usize,
}

/// Both caches.
pub(super) struct Documents {
    limits: Limits,
    introspection: bool,
    shareable: Option<Shareable>,
    ids: AtomicU64,
    /// By their full text, so that no hash collision can confuse two of them.
    read: Cache<Arc<str>, Arc<Document>>,
    /// By document, index of the operation in it, and which condition variables are true.
    decided: Cache<(u64, usize, Vec<bool>), Arc<Operation>>,
}

impl Documents {
    pub(super) fn new(limits: Limits, introspection: bool, shareable: Option<Shareable>) -> Self {
        Self {
            limits,
            introspection,
            shareable,
            ids: AtomicU64::new(0),
            read: Cache::builder()
                .max_capacity(CACHED)
                .weigher(|_, document: &Arc<Document>| weight(document.tokens, document.size))
                .build(),
            decided: Cache::builder()
                .max_capacity(CACHED)
                .weigher(|_, operation: &Arc<Operation>| {
                    weight(operation.selections, operation.size)
                })
                .build(),
        }
    }

    /// Whether the document is cached.
    pub(super) fn knows(&self, text: &str) -> bool {
        self.read.contains_key(text)
    }

    /// The document that `text` is.
    ///
    /// # Errors
    /// All errors in it.
    pub(super) fn read(
        &self,
        registry: &Registry,
        text: &str,
    ) -> Result<Arc<Document>, Vec<Error>> {
        if let Some(document) = self.read.get(text) {
            return Ok(document);
        }
        let document = Arc::new(self.read_anew(registry, text)?);
        self.read.insert(text.into(), Arc::clone(&document));
        // What makes room for it is freed here. Otherwise the next lookup would do it, on a thread that serves sockets.
        self.read.run_pending_tasks();
        Ok(document)
    }

    fn read_anew(&self, registry: &Registry, text: &str) -> Result<Document, Vec<Error>> {
        let parsed = parse::parse(text, self.limits.tokens).map_err(|error| vec![error])?;
        let executable = parsed.document;
        let exceeded = limits::exceeded(&executable, &self.limits);
        if !exceeded.is_empty() {
            return Err(exceeded);
        }
        let never_null = rules::check(registry, &executable, &parsed.repeated)?;
        let broken = unmergeable(registry, &executable).map_err(|error| vec![error])?;
        if !broken.is_empty() {
            return Err(broken);
        }

        let mut operations: Vec<_> = executable
            .operations
            .iter()
            .zip(never_null)
            .map(|((name, definition), never_null)| Entry {
                name: name.cloned(),
                definition: definition.clone(),
                conditions: conditions(&executable, &definition.node),
                never_null,
            })
            .collect();
        operations.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Document {
            id: self.ids.fetch_add(1, Ordering::Relaxed),
            size: text.len(),
            tokens: parsed.tokens,
            executable,
            operations,
        })
    }

    /// The operation with this `index` of `document`, with its conditions decided by `variables`.
    ///
    /// # Errors
    /// `FORBIDDEN` for introspection when it is off; `BAD_REQUEST` for a condition that is null; `INVALID` for null in
    /// input fields that have a default.
    pub(super) fn decide(
        &self,
        registry: &Registry,
        document: &Document,
        index: usize,
        variables: &Variables,
    ) -> Result<Arc<Operation>, Error> {
        let entry = &document.operations[index];
        let nulls = entry.never_null.iter();
        let nulls = nulls.filter(|(name, _)| variables.get(name) == Some(&ConstValue::Null));
        let violations: Vec<_> = nulls.map(|(_, field)| Rule::Null.at(field)).collect();
        if !violations.is_empty() {
            return Err(Error::Invalid(violations));
        }
        let truths = entry
            .conditions
            .iter()
            .map(|name| match variables.get(name) {
                Some(ConstValue::Boolean(truth)) => Ok(*truth),
                _ => {
                    let name = short(name);
                    Err(Error::bad_request(
                        format!(
                            "Variable \"${name}\" decides whether fields are included: it must not be null."
                        ),
                        format!(
                            "변수 \"${name}\"는 필드를 포함할지 정하므로 null일 수 없습니다."
                        ),
                    ))
                }
            })
            .collect::<Result<Vec<bool>, Error>>()?;
        let key = (document.id, index, truths);
        if let Some(operation) = self.decided.get(&key) {
            return Ok(operation);
        }
        let truths = entry.conditions.iter().zip(&key.2);
        let truths: HashSet<_> = truths
            .filter_map(|(name, truth)| truth.then_some(name.as_str()))
            .collect();
        let operation = Arc::new(normalise(
            registry,
            document,
            &entry.definition,
            &truths,
            self.shareable.as_ref(),
        )?);
        let introspects = |field: &String| matches!(field.as_str(), "__schema" | "__type");
        if !self.introspection && operation.root_fields.iter().any(introspects) {
            return Err(Error::Forbidden);
        }
        self.decided.insert(key, Arc::clone(&operation));
        self.decided.run_pending_tasks();
        Ok(operation)
    }
}

impl Document {
    /// The index of the operation that `name` asks for.
    ///
    /// # Errors
    /// `BAD_REQUEST` when there is none, or none is named where there are several.
    pub(super) fn choose(&self, name: Option<&str>) -> Result<usize, Error> {
        match (name, self.operations.as_slice()) {
            (None, [_]) => Ok(0),
            (None, _) => Err(Error::bad_request(
                "The document contains several operations: operationName must name one.",
                "문서에 작업이 여러 개 있습니다. operationName으로 하나를 골라 주세요.",
            )),
            (Some(name), operations) => operations
                .iter()
                .position(|entry| entry.name.as_ref().is_some_and(|n| n == name))
                .ok_or_else(|| {
                    let name = short(name);
                    Error::bad_request(
                        format!("The document contains no operation named \"{name}\"."),
                        format!("문서에 \"{name}\"(이)라는 작업이 없습니다."),
                    )
                }),
        }
    }

    /// How many operations it has.
    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }

    pub(super) fn operation(&self, index: usize) -> &OperationDefinition {
        &self.operations[index].definition.node
    }
}

/// The approximate bytes of so many selections and of a text.
fn weight(selections: usize, text: usize) -> u32 {
    u32::try_from((selections + 2) * SELECTION + text).unwrap_or(u32::MAX)
}

/// The name of the root type of an operation, which validation has checked.
fn root(registry: &Registry, ty: OperationType) -> Option<&str> {
    match ty {
        OperationType::Query => Some(registry.query_type.as_str()),
        OperationType::Mutation => registry.mutation_type.as_deref(),
        OperationType::Subscription => registry.subscription_type.as_deref(),
    }
}

/// Finds fields of `document` that cannot be merged, and subscriptions to several fields. The document must be valid
/// otherwise.
fn unmergeable(registry: &Registry, document: &ExecutableDocument) -> Result<Vec<Error>, Error> {
    let mut collector = Collector::new(registry, document, Conditions::Any);
    let mut broken = Vec::new();
    for (_, operation) in document.operations.iter() {
        let ty = operation.node.ty;
        let fields = collector.object(
            &[&operation.node.selection_set.node],
            root(registry, ty).unwrap_or_default(),
        )?;
        if ty == OperationType::Subscription {
            let is_introspection = |c: &Collected<'_>| c.field.node.name.node.starts_with("__");
            if fields.len() != 1 || fields.iter().any(is_introspection) {
                broken.push(Error::Validation {
                    message: "A subscription must select exactly one field of the schema's root."
                        .to_owned(),
                    locations: fields.iter().map(|c| c.field.pos).collect(),
                });
            }
        }
    }
    broken.append(&mut collector.conflicts);
    broken.truncate(ERRORS);
    Ok(broken)
}

fn normalise(
    registry: &Registry,
    document: &Document,
    original: &Positioned<OperationDefinition>,
    truths: &HashSet<&str>,
    shareable: Option<&Shareable>,
) -> Result<Operation, Error> {
    let node = &original.node;
    let conditions = Conditions::Given(truths);
    let mut collector = Collector::new(registry, &document.executable, conditions);
    let root = root(registry, node.ty).unwrap_or_default();
    let fields = collector.object(&[&node.selection_set.node], root)?;
    if node.ty == OperationType::Subscription && fields.is_empty() {
        return Err(Error::bad_request(
            "With these variables there is nothing to subscribe to.",
            "이 변수로는 구독할 것이 없습니다.",
        ));
    }
    let mut guarded = Guarded::default();
    note_guarded(&fields, &mut guarded);
    let definition = OperationDefinition {
        ty: node.ty,
        variable_definitions: node.variable_definitions.clone(),
        directives: Vec::new(),
        selection_set: node.selection_set.position_node(normal::set(&fields)),
    };
    Ok(Operation {
        root_fields: fields
            .iter()
            .map(|collected| collected.field.node.name.node.to_string())
            .collect(),
        costs: cost::of(&fields, false),
        guarded: Arc::new(guarded),
        is_shared: node.ty == OperationType::Subscription
            && shareable.is_some_and(|shareable| is_shared(shareable, &fields)),
        selections: count(&definition.selection_set.node),
        size: document.size,
        definition: original.position_node(definition),
    })
}

/// Whether a subscription to `root` selects only what is the same for all viewers.
fn is_shared(shareable: &Shareable, root: &[Collected<'_>]) -> bool {
    fn are_shared(shareable: &Shareable, parent: &str, fields: &[Collected<'_>]) -> bool {
        fields.iter().all(|field| {
            shareable.has(parent, &field.field.node.name.node) && below(shareable, &field.below)
        })
    }
    fn below(shareable: &Shareable, below: &Below<'_>) -> bool {
        match below {
            Below::Leaf => true,
            Below::Object(ty, fields) => are_shared(shareable, ty, fields),
            Below::Abstract(alternatives) => alternatives
                .iter()
                .all(|(ty, fields)| are_shared(shareable, ty, fields)),
        }
    }
    root.iter().all(|field| {
        field.field.node.name.node == shareable.field && below(shareable, &field.below)
    })
}

/// Notes the guarded fields below `fields`. Root fields are checked in any case.
fn note_guarded(fields: &[Collected<'_>], guarded: &mut Guarded) {
    let mut note = |parent: &str, fields: &[Collected<'_>]| {
        for field in fields {
            if let Some(definition) = field.definition
                && Access::of(definition).is_some()
            {
                guarded.insert(parent, &definition.name);
            }
        }
        note_guarded(fields, guarded);
    };
    for field in fields {
        match &field.below {
            Below::Leaf => {}
            Below::Object(parent, fields) => note(parent, fields),
            Below::Abstract(alternatives) => {
                for (parent, fields) in alternatives {
                    note(parent, fields);
                }
            }
        }
    }
}

fn count(set: &SelectionSet) -> usize {
    set.items
        .iter()
        .map(|selection| match &selection.node {
            Selection::Field(field) => 1 + count(&field.node.selection_set.node),
            Selection::InlineFragment(inline) => 1 + count(&inline.node.selection_set.node),
            Selection::FragmentSpread(_) => 1,
        })
        .sum()
}

/// The variables in `@skip` and `@include` in `operation` and the fragments that it reaches, ordered by name.
fn conditions(document: &ExecutableDocument, operation: &OperationDefinition) -> Vec<Name> {
    let mut names = HashSet::new();
    let mut spread = HashSet::new();
    let mut open = vec![&operation.selection_set.node];
    while let Some(set) = open.pop() {
        for selection in &set.items {
            let directives: &[Positioned<Directive>] = selection.node.directives();
            for directive in directives {
                if let Some((_, Value::Variable(name))) = condition(directive) {
                    names.insert(name.clone());
                }
            }
            match &selection.node {
                Selection::Field(field) => open.push(&field.node.selection_set.node),
                Selection::InlineFragment(inline) => open.push(&inline.node.selection_set.node),
                Selection::FragmentSpread(named) => {
                    let name = &named.node.fragment_name.node;
                    if let Some(fragment) = document.fragments.get(name)
                        && spread.insert(name)
                    {
                        open.push(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use async_graphql::Variables;

    use super::*;
    use crate::server::{
        execution::fuzz::{limits, types},
        schema,
    };

    /// How many of 200 different documents are kept, and of their operations.
    fn kept(text: impl Fn(u64) -> String) -> (u64, u64) {
        let types = types(&schema::build(crate::server::execution::Execution));
        let documents = Documents::new(limits(), true, None);
        for n in 0..200 {
            let document = documents.read(&types.registry, &text(n)).unwrap();
            documents
                .decide(&types.registry, &document, 0, &Variables::default())
                .unwrap();
        }
        documents.decided.run_pending_tasks();
        documents.read.run_pending_tasks();
        let (read, decided) = (&documents.read, &documents.decided);
        (read.entry_count(), decided.entry_count())
    }

    #[test]
    fn long_values_in_documents_do_not_fill_the_memory() {
        let value = "m".repeat(500_000);
        let kept =
            kept(|n| format!("{{ posts(first: 1, after: \"{value}{n}\") {{ totalCount }} }}"));

        let most = CACHED / 500_000;
        assert!(kept.0 <= most && kept.1 <= most, "{kept:?}");
    }

    #[test]
    fn many_selections_in_documents_do_not_fill_the_memory_and_usual_documents_are_kept() {
        // As many as fit into the fewest bytes: three for each.
        let fields = " id".repeat(1_500);
        let large = kept(|n| format!("{{ posts(first: 1) {{ nodes {{{fields} }} }} }} # {n}"));
        let usual = kept(|n| {
            format!(
                "query Number{n} {{
                    posts(first: 20) {{
                        nodes {{ id title commentCount author {{ name }} }}
                        pageInfo {{ hasNextPage endCursor }}
                    }}
                }}"
            )
        });

        assert!((1..=6).contains(&large.0), "{large:?}");
        assert_eq!(usual, (200, 200));
    }
}
