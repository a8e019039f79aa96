//! Rules that span definitions: which fragments and variables an operation reaches.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name, Pos, Positioned,
    parser::types::{OperationDefinition, VariableDefinition},
    registry::MetaTypeName,
};

use super::broken;
use crate::error::Error;

/// A variable where a value is asked for.
pub(super) struct Usage<'a> {
    pub name: &'a str,
    /// `None` where the type is not known; that is reported elsewhere.
    pub expected: Option<&'a str>,
    /// Whether the argument or input field has a default, so that null may stand there as absent.
    pub has_default: bool,
    pub pos: Pos,
}

/// What one definition uses.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub usages: Vec<Usage<'a>>,
    pub spreads: Vec<&'a str>,
    /// Variables whose very type is wrong: where they stand cannot be judged.
    pub ill_typed: Vec<&'a str>,
}

/// What all definitions use.
#[derive(Default)]
pub(super) struct Definitions<'a> {
    pub operations: Vec<(
        Option<&'a Name>,
        &'a Positioned<OperationDefinition>,
        Scope<'a>,
    )>,
    pub fragments: HashMap<&'a str, (Pos, Scope<'a>)>,
}

impl<'a> Definitions<'a> {
    pub(super) fn check(&self, errors: &mut Vec<Error>) {
        let mut used = HashSet::new();
        for (name, operation, scope) in &self.operations {
            let reached = self.reached(scope);
            let usages = scope.usages.iter().chain(
                reached
                    .iter()
                    .filter_map(|fragment| self.fragments.get(fragment))
                    .flat_map(|(_, scope)| &scope.usages),
            );
            let by = name.map_or_else(String::new, |name| format!(" by operation \"{name}\""));
            let usages = usages.map(|usage| Usage {
                expected: usage
                    .expected
                    .filter(|_| !scope.ill_typed.contains(&usage.name)),
                ..*usage
            });
            variables(&operation.node.variable_definitions, usages, &by, errors);
            used.extend(reached);
        }
        for (name, (pos, scope)) in &self.fragments {
            if !used.contains(name) {
                let message = format!("Fragment \"{name}\" is never used.");
                errors.push(broken(message, [*pos]));
            }
            if self.reached(scope).contains(name) {
                let message = format!("Fragment \"{name}\" spreads itself.");
                errors.push(broken(message, [*pos]));
            }
        }
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

fn variables<'a>(
    definitions: &[Positioned<VariableDefinition>],
    usages: impl Iterator<Item = Usage<'a>>,
    by: &str,
    errors: &mut Vec<Error>,
) {
    let mut used = HashSet::new();
    for usage in usages {
        used.insert(usage.name);
        let Some(definition) = definitions
            .iter()
            .find(|definition| definition.node.name.node == usage.name)
        else {
            let message = format!("Variable \"${}\" is not defined{by}.", usage.name);
            errors.push(broken(message, [usage.pos]));
            continue;
        };
        let ty = definition.node.var_type.node.to_string();
        if let Some(expected) = usage.expected
            && !may_stand(&definition.node, &ty, expected, usage.has_default)
        {
            let message = format!(
                "Variable \"${}\" of type \"{ty}\" cannot stand where \"{expected}\" is expected.",
                usage.name
            );
            errors.push(broken(message, [definition.pos, usage.pos]));
        }
    }
    for definition in definitions {
        let name = &definition.node.name.node;
        if !used.contains(name.as_str()) {
            let message = format!("Variable \"${name}\" is not used{by}.");
            errors.push(broken(message, [definition.pos]));
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
