//! CollectFields of the specification (6.3.2), done once on the document and not on each object: fields with the same
//! response key become one, fragments vanish, `@skip` and `@include` are decided.
//!
//! Where the type of an object is only known at run time (an interface, a union), each object type that it can be gets
//! its own merged selection. That is also the only safe way: async-graphql resolves a field of an interface by calling
//! the method of the object behind it, without that field's guard.

use std::collections::HashSet;

use async_graphql::{
    Name, Pos, Positioned,
    indexmap::IndexMap,
    parser::types::{Directive, ExecutableDocument, Field, Selection, SelectionSet},
    registry::{MetaField, MetaType, Registry},
};
use async_graphql_value::Value;

use super::{documents::ERRORS, limits::EXPANDED};
use crate::error::{Error, short};

/// A field of the response, merged from all its occurrences.
pub(super) struct Collected<'a> {
    /// Its first occurrence: all have the same name and arguments.
    pub field: &'a Positioned<Field>,
    /// Its definition; `None` for `__typename`.
    pub definition: Option<&'a MetaField>,
    pub below: Below<'a>,
}

/// What is selected of a field's value.
pub(super) enum Below<'a> {
    /// Nothing, since it is a scalar or an enum.
    Leaf,
    /// An object of this type.
    Object(&'a str, Vec<Collected<'a>>),
    /// For each possible object type.
    Abstract(Vec<(&'a str, Vec<Collected<'a>>)>),
}

/// Which conditional selections count.
#[derive(Clone, Copy)]
pub(super) enum Conditions<'a> {
    /// All: fields must be able to merge whatever the variables are.
    Any,
    /// Those that hold when exactly these of the operation's condition variables are true.
    Given(&'a HashSet<&'a str>),
}

/// Collects the fields of a document that is valid, except that its fields may not be mergeable.
pub(super) struct Collector<'a> {
    registry: &'a Registry,
    document: &'a ExecutableDocument,
    conditions: Conditions<'a>,
    /// The number of visited selections, which bounds both the work and the result.
    visited: usize,
    /// Fields that cannot be merged.
    pub conflicts: Vec<Error>,
    conflicting: HashSet<(Pos, Pos)>,
}

/// Occurrences of fields by response key, ordered by first occurrence.
type Groups<'a> = IndexMap<&'a Name, Vec<&'a Positioned<Field>>>;

impl<'a> Collector<'a> {
    pub(super) fn new(
        registry: &'a Registry,
        document: &'a ExecutableDocument,
        conditions: Conditions<'a>,
    ) -> Self {
        Self {
            registry,
            document,
            conditions,
            visited: 0,
            conflicts: Vec::new(),
            conflicting: HashSet::new(),
        }
    }

    /// The fields that `sets` together select on an object of type `object`.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` if the expanded selection is too large.
    pub(super) fn object(
        &mut self,
        sets: &[&'a SelectionSet],
        object: &'a str,
    ) -> Result<Vec<Collected<'a>>, Error> {
        let mut groups = Groups::new();
        let mut spread = HashSet::new();
        for set in sets {
            self.group(set, object, &mut groups, &mut spread)?;
        }
        groups
            .into_values()
            .map(|occurrences| self.merged(&occurrences, object))
            .collect()
    }

    fn group(
        &mut self,
        set: &'a SelectionSet,
        object: &str,
        groups: &mut Groups<'a>,
        spread: &mut HashSet<&'a str>,
    ) -> Result<(), Error> {
        for selection in &set.items {
            self.visited += 1;
            if self.visited > EXPANDED {
                return Err(Error::LimitExceeded {
                    what: "fields",
                    limit: EXPANDED as u64,
                });
            }
            if !self.holds(selection.node.directives()) {
                continue;
            }
            let (condition, set) = match &selection.node {
                Selection::Field(field) => {
                    let key = &field.node.response_key().node;
                    groups.entry(key).or_default().push(field);
                    continue;
                }
                Selection::InlineFragment(inline) => (
                    inline.node.type_condition.as_ref(),
                    &inline.node.selection_set.node,
                ),
                Selection::FragmentSpread(named) => {
                    let name = named.node.fragment_name.node.as_str();
                    let Some(fragment) = self.document.fragments.get(name) else {
                        continue;
                    };
                    if !spread.insert(name) {
                        continue;
                    }
                    (
                        Some(&fragment.node.type_condition),
                        &fragment.node.selection_set.node,
                    )
                }
            };
            let applies = condition.is_none_or(|condition| {
                let on = condition.node.on.node.as_str();
                let ty = self.registry.types.get(on);
                ty.is_some_and(|ty| ty.is_possible_type(object))
            });
            if applies {
                self.group(set, object, groups, spread)?;
            }
        }
        Ok(())
    }

    /// Whether `@skip` and `@include` let a selection count.
    fn holds(&self, directives: &[Positioned<Directive>]) -> bool {
        let Conditions::Given(truths) = self.conditions else {
            return true;
        };
        directives.iter().all(|directive| {
            condition(directive).is_none_or(|(counts_if, value)| {
                counts_if
                    == match value {
                        Value::Boolean(constant) => *constant,
                        Value::Variable(name) => truths.contains(name.as_str()),
                        _ => false,
                    }
            })
        })
    }

    fn merged(
        &mut self,
        occurrences: &[&'a Positioned<Field>],
        object: &'a str,
    ) -> Result<Collected<'a>, Error> {
        let field = occurrences[0];
        for other in &occurrences[1..] {
            if let Some(difference) = difference(&field.node, &other.node) {
                let key = &field.node.response_key().node;
                self.conflict(key, difference, field.pos, other.pos);
            }
        }
        let definition = self
            .registry
            .types
            .get(object)
            .and_then(|ty| ty.field_by_name(&field.node.name.node));
        let sets: Vec<_> = occurrences
            .iter()
            .map(|occurrence| &occurrence.node.selection_set.node)
            .collect();
        let ty = definition.and_then(|d| self.registry.concrete_type_by_name(&d.ty));
        let below = match ty {
            Some(MetaType::Object { name, .. }) => Below::Object(name, self.object(&sets, name)?),
            Some(ty) if ty.is_abstract() => {
                let types = ty.possible_types().into_iter().flatten();
                let alternatives: Result<Vec<_>, Error> = types
                    .map(|name| Ok((name.as_str(), self.object(&sets, name)?)))
                    .collect();
                Below::Abstract(alternatives?)
            }
            _ => Below::Leaf,
        };
        let collected = Collected {
            field,
            definition,
            below,
        };
        if let Below::Abstract(alternatives) = &collected.below
            && matches!(self.conditions, Conditions::Any)
        {
            let all = alternatives.iter().flat_map(|(_, fields)| fields).collect();
            self.same_shapes(all);
        }
        Ok(collected)
    }

    /// Notes fields with the same response key that, on objects of different types, have values of different shapes: no
    /// client could read such a response.
    fn same_shapes(&mut self, fields: Vec<&Collected<'a>>) {
        let mut groups: IndexMap<&Name, Vec<&Collected<'a>>> = IndexMap::new();
        for field in fields {
            let key = &field.field.node.response_key().node;
            groups.entry(key).or_default().push(field);
        }
        for (key, group) in groups {
            let first = group[0];
            let differs = group[1..]
                .iter()
                .find(|other| self.shape(first) != self.shape(other));
            if let Some(other) = differs {
                let difference = "they return values of different types";
                self.conflict(key, difference, first.field.pos, other.field.pos);
                continue;
            }
            let below: Vec<_> = group.iter().flat_map(|one| one.below.fields()).collect();
            if group.len() > 1 && !below.is_empty() {
                self.same_shapes(below);
            }
        }
    }

    /// The part of a field's type that determines the form of the response. All composite types are alike.
    fn shape(&self, collected: &Collected<'a>) -> (&'a str, &'a str, &'a str) {
        let ty = collected.definition.map_or("String!", |d| d.ty.as_str());
        let is_letter = |c: char| c != '[' && c != ']' && c != '!';
        let start = ty.find(is_letter).unwrap_or_default();
        let end = ty.rfind(is_letter).map_or(start, |last| last + 1);
        let concrete = &ty[start..end];
        let is_composite = self
            .registry
            .types
            .get(concrete)
            .is_some_and(MetaType::is_composite);
        (
            &ty[..start],
            if is_composite { "" } else { concrete },
            &ty[end..],
        )
    }

    fn conflict(&mut self, key: &Name, difference: &str, one: Pos, other: Pos) {
        // The same two positions are visited once for each type that they apply to.
        if self.conflicts.len() < ERRORS && self.conflicting.insert((one, other)) {
            let key = short(key);
            self.conflicts.push(Error::Validation {
                message: format!(
                    "Fields \"{key}\" conflict because {difference}. Use different aliases to get both."
                ),
                locations: vec![one, other],
            });
        }
    }
}

impl<'a> Below<'a> {
    /// All fields, whatever the type of their object.
    pub(super) fn fields(&self) -> Box<dyn Iterator<Item = &Collected<'a>> + '_> {
        match self {
            Self::Leaf => Box::new(std::iter::empty()),
            Self::Object(_, fields) => Box::new(fields.iter()),
            Self::Abstract(alternatives) => {
                Box::new(alternatives.iter().flat_map(|(_, fields)| fields))
            }
        }
    }
}

/// For `@include` and `@skip`: the value that the condition must have for the selection to count, and the condition.
pub(super) fn condition(directive: &Positioned<Directive>) -> Option<(bool, &Value)> {
    let counts_if = match directive.node.name.node.as_str() {
        "include" => true,
        "skip" => false,
        _ => return None,
    };
    let value = directive.node.get_argument("if")?;
    Some((counts_if, &value.node))
}

fn difference(one: &Field, other: &Field) -> Option<&'static str> {
    if one.name.node != other.name.node {
        return Some("they are different fields");
    }
    let same = one.arguments.len() == other.arguments.len()
        && one
            .arguments
            .iter()
            .all(|(name, value)| other.get_argument(&name.node) == Some(value));
    (!same).then_some("their arguments differ")
}
