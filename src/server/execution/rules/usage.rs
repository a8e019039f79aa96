//! Rules that span definitions: which fragments and variables an operation reaches.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Pos, Positioned,
    indexmap::IndexMap,
    parser::types::{OperationDefinition, VariableDefinition},
    registry::MetaTypeName,
};

use super::Broken;
use crate::error::short;

/// A variable in the position of a value.
pub(super) struct Usage<'a> {
    pub name: &'a str,
    /// `None` where the type is not known; that is reported elsewhere.
    pub expected: Option<&'a str>,
    /// Whether the argument or input field has a default, so that the variable's type may be nullable.
    pub has_default: bool,
    /// The variable's path in its argument, as in `spare.length`, if null there breaks a rule of that input field.
    pub never_null: Option<String>,
    pub pos: Pos,
}

/// What one definition uses.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub usages: Vec<Usage<'a>>,
    pub spreads: Vec<&'a str>,
    /// Variables with invalid types, whose positions cannot be checked.
    pub ill_typed: HashSet<&'a str>,
}

/// What all definitions use.
#[derive(Default)]
pub(super) struct Definitions<'a> {
    pub operations: Vec<(
        Option<&'a Name>,
        &'a Positioned<OperationDefinition>,
        Scope<'a>,
    )>,
    pub fragments: IndexMap<&'a str, (Pos, Scope<'a>)>,
}

/// Variables of one operation that must not be null, each with its input field.
pub(in crate::server::execution) type NeverNull = Vec<(Name, String)>;

impl<'a> Definitions<'a> {
    /// Notes broken rules, and returns the variables that must not be null, by operation.
    pub(super) fn check(&self, broken: &mut Broken) -> Vec<NeverNull> {
        let mut never_null = Vec::with_capacity(self.operations.len());
        let mut used = HashSet::new();
        for (name, operation, scope) in &self.operations {
            let reached = self.reached(scope);
            let usages = scope.usages.iter().chain(
                reached
                    .iter()
                    .filter_map(|fragment| self.fragments.get(*fragment))
                    .flat_map(|(_, scope)| &scope.usages),
            );
            let by = name.map_or_else(String::new, |name| {
                format!(" by operation \"{}\"", short(name))
            });
            let usages: Vec<_> = usages.collect();
            never_null.push(
                usages
                    .iter()
                    .filter_map(|usage| Some((Name::new(usage.name), usage.never_null.clone()?)))
                    .collect(),
            );
            let usages = usages.into_iter().map(|usage| {
                let is_typed = !scope.ill_typed.contains(usage.name);
                (usage, usage.expected.filter(|_| is_typed))
            });
            variables(&operation.node.variable_definitions, usages, &by, broken);
            used.extend(reached);
        }
        for (name, (pos, scope)) in &self.fragments {
            if !used.contains(name) {
                broken.push([*pos], || {
                    format!("Fragment \"{}\" is never used.", short(name))
                });
            }
            if self.reached(scope).contains(name) {
                broken.push([*pos], || {
                    format!("Fragment \"{}\" spreads itself.", short(name))
                });
            }
        }
        never_null
    }

    /// Names of the fragments that `scope` spreads, directly or through others.
    fn reached(&self, scope: &Scope<'a>) -> HashSet<&'a str> {
        let mut reached = HashSet::new();
        let mut open = scope.spreads.clone();
        while let Some(name) = open.pop() {
            if reached.insert(name)
                && let Some((_, scope)) = self.fragments.get(name)
            {
                open.extend(&scope.spreads);
            }
        }
        reached
    }
}

/// Each usage with the scope that decides about it.
fn variables<'a>(
    definitions: &[Positioned<VariableDefinition>],
    usages: impl Iterator<Item = (&'a Usage<'a>, Option<&'a str>)>,
    by: &str,
    broken: &mut Broken,
) {
    let mut named = HashMap::with_capacity(definitions.len());
    for definition in definitions {
        // Duplicate names are reported by another rule. The first one counts.
        let name = definition.node.name.node.as_str();
        named.entry(name).or_insert((definition, false));
    }
    for (usage, expected) in usages {
        let Some((definition, is_used)) = named.get_mut(usage.name) else {
            broken.push([usage.pos], || {
                format!("Variable \"${}\" is not defined{by}.", short(usage.name))
            });
            continue;
        };
        *is_used = true;
        let Some(expected) = expected else {
            continue;
        };
        let ty = definition.node.var_type.node.to_string();
        if !may_stand(&definition.node, &ty, expected, usage.has_default) {
            broken.push([definition.pos, usage.pos], || {
                format!(
                    "Variable \"${}\" of type \"{}\" cannot stand where \"{expected}\" is expected.",
                    short(usage.name),
                    short(ty)
                )
            });
        }
    }
    for definition in definitions {
        let name = definition.node.name.node.as_str();
        if !named.get(name).is_some_and(|(_, is_used)| *is_used) {
            broken.push([definition.pos], || {
                format!("Variable \"${}\" is not used{by}.", short(name))
            });
        }
    }
}

/// "IsVariableUsageAllowed" of the specification.
fn may_stand(definition: &VariableDefinition, ty: &str, expected: &str, has_default: bool) -> bool {
    let own_default = definition
        .default_value
        .as_ref()
        .is_some_and(|default| default.node != async_graphql::Value::Null);
    match (MetaTypeName::create(ty), MetaTypeName::create(expected)) {
        (MetaTypeName::Named(_) | MetaTypeName::List(_), MetaTypeName::NonNull(inner)) => {
            (own_default || has_default) && fits(ty, inner)
        }
        _ => fits(ty, expected),
    }
}

/// Whether every value of type `ty` is one of type `expected`.
fn fits(ty: &str, expected: &str) -> bool {
    match (MetaTypeName::create(ty), MetaTypeName::create(expected)) {
        (MetaTypeName::NonNull(ty), MetaTypeName::NonNull(expected))
        | (MetaTypeName::List(ty), MetaTypeName::List(expected)) => fits(ty, expected),
        (MetaTypeName::NonNull(ty), _) => fits(ty, expected),
        (MetaTypeName::Named(ty), MetaTypeName::Named(expected)) => ty == expected,
        _ => false,
    }
}
