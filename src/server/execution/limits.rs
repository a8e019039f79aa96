//! Limits on the shape of a document, with fragments expanded, checked before anything else. No types are needed: each
//! definition is measured once, so that nested fragments cost no more than the document's length.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Positioned,
    parser::types::{ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};

use crate::{config::Limits, error::Error};

/// Selections of a document once its fragments are expanded.
pub(super) const EXPANDED: usize = 10_000;
/// The most levels of fields, fragments and inline fragments together, which recursive functions over a document rely
/// on.
const NESTING: usize = 100;
/// The most levels under `__schema` and `__type`. The standard introspection query has 15.
const INTROSPECTION_DEPTH: usize = 20;
/// The most nested lists in introspection: each level multiplies the response by the size of the schema.
const INTROSPECTION_LISTS: usize = 2;

/// The size of a selection set with its fragments expanded.
#[derive(Clone, Copy, Default)]
struct Measure {
    depth: usize,
    introspection_depth: usize,
    /// Nested lists of fields, interfaces and so on. Only used for introspection.
    lists: usize,
    introspection_lists: usize,
    nesting: usize,
    aliases: usize,
    directives: usize,
    selections: usize,
}

impl Measure {
    /// The size of both in one selection set.
    fn beside(self, other: Self) -> Self {
        Self {
            depth: self.depth.max(other.depth),
            introspection_depth: self.introspection_depth.max(other.introspection_depth),
            lists: self.lists.max(other.lists),
            introspection_lists: self.introspection_lists.max(other.introspection_lists),
            nesting: self.nesting.max(other.nesting),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            selections: self.selections.saturating_add(other.selections),
        }
    }
}

/// `LIMIT_EXCEEDED` for each limit that `document` exceeds. Its fragments may be undefined or circular.
pub(super) fn exceeded(document: &ExecutableDocument, limits: &Limits) -> Vec<Error> {
    let mut ruler = Ruler {
        document,
        fragments: HashMap::new(),
    };
    let (mut total, mut root_fields) = (Measure::default(), 0);
    for (_, operation) in document.operations.iter() {
        let operation = &operation.node;
        let own = Measure {
            directives: operation.directives.len()
                + operation
                    .variable_definitions
                    .iter()
                    .map(|v| v.node.directives.len())
                    .sum::<usize>(),
            ..Measure::default()
        };
        total = total
            .beside(own)
            .beside(ruler.set(&operation.selection_set.node, 0));
        root_fields = root_fields.max(root_keys(document, operation));
    }
    total.directives += document
        .fragments
        .values()
        .map(|f| f.node.directives.len())
        .sum::<usize>();

    [
        ("depth", total.depth, limits.depth),
        (
            "introspection depth",
            total.introspection_depth,
            INTROSPECTION_DEPTH,
        ),
        (
            "nested lists of introspection",
            total.introspection_lists,
            INTROSPECTION_LISTS,
        ),
        ("nested selections", total.nesting, NESTING),
        ("aliases", total.aliases, limits.aliases),
        ("root fields", root_fields, limits.root_fields),
        ("directives", total.directives, limits.directives),
        ("fields", total.selections, EXPANDED),
    ]
    .into_iter()
    .filter(|(_, found, limit)| found > limit)
    .map(|(what, _, limit)| Error::LimitExceeded {
        what,
        limit: limit as u64,
    })
    .collect()
}

struct Ruler<'a> {
    document: &'a ExecutableDocument,
    /// `None` while being measured: a fragment that is reached again is circular, which validation reports.
    fragments: HashMap<&'a str, Option<Measure>>,
}

impl<'a> Ruler<'a> {
    /// The set is `level` levels deep.
    fn set(&mut self, set: &'a SelectionSet, level: usize) -> Measure {
        if level > NESTING {
            return Measure {
                nesting: NESTING + 1,
                ..Measure::default()
            };
        }
        set.items.iter().fold(Measure::default(), |sum, selection| {
            let mut one = self.selection(&selection.node, level);
            one.nesting += 1;
            one.selections = one.selections.saturating_add(1);
            one.directives = one
                .directives
                .saturating_add(selection.node.directives().len());
            sum.beside(one)
        })
    }

    fn selection(&mut self, selection: &'a Selection, level: usize) -> Measure {
        let field = match selection {
            Selection::InlineFragment(inline) => {
                return self.set(&inline.node.selection_set.node, level + 1);
            }
            Selection::FragmentSpread(spread) => {
                return self.fragment(spread.node.fragment_name.node.as_str(), level + 1);
            }
            Selection::Field(field) => &field.node,
        };
        let below = self.set(&field.selection_set.node, level + 1);
        let mut one = match field.name.node.as_str() {
            "__schema" | "__type" => Measure {
                depth: 1,
                introspection_depth: below.depth + 1,
                lists: 0,
                introspection_lists: below.lists,
                ..below
            },
            "fields" | "interfaces" | "possibleTypes" | "inputFields" => Measure {
                depth: below.depth + 1,
                lists: below.lists + 1,
                ..below
            },
            _ => Measure {
                depth: below.depth + 1,
                ..below
            },
        };
        one.aliases = one
            .aliases
            .saturating_add(usize::from(field.alias.is_some()));
        one
    }

    fn fragment(&mut self, name: &'a str, level: usize) -> Measure {
        if let Some(known) = self.fragments.get(name) {
            return known.unwrap_or_default();
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Measure::default();
        };
        self.fragments.insert(name, None);
        let measure = self.set(&fragment.node.selection_set.node, level);
        self.fragments.insert(name, Some(measure));
        measure
    }
}

/// The response keys of an operation's root. Merged fields count once.
fn root_keys(document: &ExecutableDocument, operation: &OperationDefinition) -> usize {
    let mut keys = HashSet::new();
    let mut seen = HashSet::new();
    let mut open: Vec<&Positioned<Selection>> = operation.selection_set.node.items.iter().collect();
    while let Some(selection) = open.pop() {
        match &selection.node {
            Selection::Field(field) => {
                keys.insert(field.node.response_key().node.as_str());
            }
            Selection::InlineFragment(inline) => {
                open.extend(&inline.node.selection_set.node.items);
            }
            Selection::FragmentSpread(spread) => {
                let name = spread.node.fragment_name.node.as_str();
                if let Some(fragment) = document.fragments.get(name)
                    && seen.insert(name)
                {
                    open.extend(&fragment.node.selection_set.node.items);
                }
            }
        }
    }
    keys.len()
}
