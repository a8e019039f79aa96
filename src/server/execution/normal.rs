//! Turns collected fields into a document again, which async-graphql's executor answers as the specification requires.

use async_graphql::{
    Name, Positioned,
    parser::types::{Field, InlineFragment, Selection, SelectionSet, TypeCondition},
};

use super::collect::{Below, Collected, condition};

/// A selection set without fragments, but for one inline fragment on each object type under an interface or a union.
pub(super) fn set(fields: &[Collected<'_>]) -> SelectionSet {
    SelectionSet {
        items: fields
            .iter()
            .map(|collected| {
                let selection = Selection::Field(collected.field.position_node(field(collected)));
                collected.field.position_node(selection)
            })
            .collect(),
    }
}

fn field(collected: &Collected<'_>) -> Field {
    let original = &collected.field.node;
    let selection_set = match &collected.below {
        Below::Leaf => SelectionSet::default(),
        Below::Object(_, fields) => set(fields),
        Below::Abstract(alternatives) => SelectionSet {
            items: alternatives
                .iter()
                .filter(|(_, fields)| !fields.is_empty())
                .map(|(on, fields)| fragment(collected.field, on, fields))
                .collect(),
        },
    };
    Field {
        alias: original.alias.clone(),
        name: original.name.clone(),
        arguments: original.arguments.clone(),
        directives: original
            .directives
            .iter()
            .filter(|directive| condition(directive).is_none())
            .cloned()
            .collect(),
        selection_set: original.selection_set.position_node(selection_set),
    }
}

fn fragment(at: &Positioned<Field>, on: &str, fields: &[Collected<'_>]) -> Positioned<Selection> {
    let condition = TypeCondition {
        on: at.position_node(Name::new(on)),
    };
    at.position_node(Selection::InlineFragment(at.position_node(
        InlineFragment {
            type_condition: Some(at.position_node(condition)),
            directives: Vec::new(),
            selection_set: at.position_node(set(fields)),
        },
    )))
}
