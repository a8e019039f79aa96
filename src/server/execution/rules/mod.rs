//! Validation (GraphQL October 2021, chapter 5) of a document as it was sent, except for fields that cannot be merged,
//! which [`collect`](super::collect) finds.
//!
//! async-graphql has rules of its own. They accept an unknown field beside a variable in an input object, ignore the
//! range of Int and most conflicting fields, reject variables where an argument has a default, expand fragments without
//! bound, report errors in the order of a hash map, and run only inside `execute`. Hence these.

mod usage;
mod values;

use std::collections::HashSet;

use async_graphql::{
    Name, Pos, Positioned,
    indexmap::IndexMap,
    parser::types::{
        Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
        SelectionSet, TypeCondition,
    },
    registry::{__DirectiveLocation as Location, MetaInputValue, MetaType, MetaTypeName, Registry},
};
use async_graphql_value::Value;

use self::usage::{Definitions, Scope};
use super::documents::ERRORS;
use crate::error::{Error, short};

pub(super) use {usage::NeverNull, values::scalar_takes};

/// The rules that `document` breaks, in the order of its text, at most [`ERRORS`]. `repeated` are fields that stand twice in
/// one input object. Takes time proportional to the text. For a valid document: the variables that must not be null, in the order of its operations.
pub(super) fn check(
    registry: &Registry,
    document: &ExecutableDocument,
    repeated: &[(String, Pos)],
) -> Result<Vec<NeverNull>, Vec<Error>> {
    let mut walk = Walk {
        registry,
        document,
        broken: Broken::default(),
        scope: Scope::default(),
    };
    let mut definitions = Definitions::default();
    for (name, operation) in document.operations.iter() {
        let scope = walk.operation(operation);
        definitions.operations.push((name, operation, scope));
    }
    let mut fragments: Vec<_> = document.fragments.iter().collect();
    fragments.sort_by_key(|(_, fragment)| fragment.pos);
    for (name, fragment) in fragments {
        walk.directives(&fragment.node.directives, Location::FRAGMENT_DEFINITION);
        let on = walk.condition(&fragment.node.type_condition);
        walk.set(&fragment.node.selection_set.node, on);
        let scope = std::mem::take(&mut walk.scope);
        definitions
            .fragments
            .insert(name.as_str(), (fragment.pos, scope));
    }
    let mut broken = walk.broken;
    let never_null = definitions.check(&mut broken);
    for (name, pos) in repeated {
        let name = short(name);
        broken.push([*pos], || {
            format!("There can be only one input field named \"{name}\".")
        });
    }
    let mut errors = broken.0;
    if errors.is_empty() {
        return Ok(never_null);
    }
    errors.sort_by_key(|error| match error {
        Error::Validation { locations, .. } => locations.first().copied().unwrap_or_default(),
        _ => Pos::default(),
    });
    Err(errors)
}

/// Broken rules, at most [`ERRORS`].
#[derive(Default)]
struct Broken(Vec<Error>);

impl Broken {
    /// Notes that a rule is broken at these positions. The message is built only if there is room for it.
    fn push(&mut self, locations: impl Into<Vec<Pos>>, message: impl FnOnce() -> String) {
        if self.0.len() < ERRORS {
            self.0.push(Error::Validation {
                message: message(),
                locations: locations.into(),
            });
        }
    }
}

/// A walk over each definition once. Unknown names are reported where they occur, and nothing below them is typed.
struct Walk<'a> {
    registry: &'a Registry,
    document: &'a ExecutableDocument,
    broken: Broken,
    /// What the current definition uses.
    scope: Scope<'a>,
}

impl<'a> Walk<'a> {
    fn report(&mut self, pos: Pos, message: impl FnOnce() -> String) {
        self.broken.push([pos], message);
    }

    fn operation(&mut self, operation: &'a Positioned<OperationDefinition>) -> Scope<'a> {
        let node = &operation.node;
        let (root, location) = match node.ty {
            OperationType::Query => (Some(&self.registry.query_type), Location::QUERY),
            OperationType::Mutation => (self.registry.mutation_type.as_ref(), Location::MUTATION),
            OperationType::Subscription => (
                self.registry.subscription_type.as_ref(),
                Location::SUBSCRIPTION,
            ),
        };
        let root = root.and_then(|name| self.registry.types.get(name));
        if root.is_none() {
            self.report(operation.pos, || format!("The schema has no {}s.", node.ty));
        }
        self.directives(&node.directives, location);
        self.variables(node);
        self.set(&node.selection_set.node, root);
        std::mem::take(&mut self.scope)
    }

    fn variables(&mut self, operation: &'a OperationDefinition) {
        let mut names = HashSet::new();
        for variable in &operation.variable_definitions {
            let definition = &variable.node;
            let name = &definition.name.node;
            if !names.insert(name) {
                self.report(variable.pos, || {
                    format!("There can be only one variable named \"${}\".", short(name))
                });
            }
            self.directives(&definition.directives, Location::VARIABLE_DEFINITION);
            let ty = definition.var_type.node.to_string();
            let concrete = MetaTypeName::concrete_typename(&ty);
            let known = self.registry.types.get(concrete);
            if !known.is_some_and(MetaType::is_input) {
                self.scope.ill_typed.insert(name.as_str());
            }
            match known {
                None => self.report(definition.var_type.pos, || {
                    format!("Unknown type \"{}\".", short(concrete))
                }),
                Some(known) if !known.is_input() => self.report(definition.var_type.pos, || {
                    let (name, ty) = (short(name), short(&ty));
                    format!("Variable \"${name}\" cannot be of the output type \"{ty}\".")
                }),
                Some(_) if concrete == "Upload" && operation.ty != OperationType::Mutation => {
                    let pos = definition.var_type.pos;
                    self.report(pos, || "Only mutations take uploads.".to_owned());
                }
                Some(_) => {
                    if let Some(default) = &definition.default_value {
                        values::check_constant(self, &default.node, &ty, default.pos);
                    }
                }
            }
        }
    }

    fn set(&mut self, set: &'a SelectionSet, on: Option<&'a MetaType>) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.field(field, on),
                Selection::InlineFragment(inline) => {
                    self.directives(&inline.node.directives, Location::INLINE_FRAGMENT);
                    let inner = match &inline.node.type_condition {
                        None => on,
                        Some(condition) => {
                            let inner = self.condition(condition);
                            self.overlap(on, inner, inline.pos);
                            inner
                        }
                    };
                    self.set(&inline.node.selection_set.node, inner);
                }
                Selection::FragmentSpread(spread) => {
                    self.directives(&spread.node.directives, Location::FRAGMENT_SPREAD);
                    let name = &spread.node.fragment_name.node;
                    self.scope.spreads.push(name.as_str());
                    match self.document.fragments.get(name) {
                        None => self.report(spread.pos, || {
                            format!("Unknown fragment \"{}\".", short(name))
                        }),
                        Some(fragment) => {
                            let condition = &fragment.node.type_condition.node.on.node;
                            let inner = self.registry.types.get(condition.as_str());
                            self.overlap(on, inner, spread.pos);
                        }
                    }
                }
            }
        }
    }

    /// The type condition of a fragment, if it is a composite type.
    fn condition(&mut self, condition: &'a Positioned<TypeCondition>) -> Option<&'a MetaType> {
        let on = &condition.node.on;
        match self.registry.types.get(on.node.as_str()) {
            None => {
                self.report(on.pos, || format!("Unknown type \"{}\".", short(&on.node)));
                None
            }
            Some(ty) if !ty.is_composite() => {
                self.report(on.pos, || {
                    format!(
                        "A fragment cannot be on \"{}\", which has no fields.",
                        on.node
                    )
                });
                None
            }
            known => known,
        }
    }

    fn overlap(&mut self, outer: Option<&MetaType>, inner: Option<&MetaType>, pos: Pos) {
        if let (Some(outer), Some(inner)) = (outer, inner)
            && outer.is_composite()
            && inner.is_composite()
            && !outer.type_overlap(inner)
        {
            self.report(pos, || {
                format!(
                    "No \"{}\" can be a \"{}\": the fragment can never apply here.",
                    outer.name(),
                    inner.name()
                )
            });
        }
    }

    fn field(&mut self, field: &'a Positioned<Field>, on: Option<&'a MetaType>) {
        let node = &field.node;
        let name = node.name.node.as_str();
        self.directives(&node.directives, Location::FIELD);
        let known = on.and_then(|ty| ty.field_by_name(name));
        let ty = match (known, on) {
            (Some(known), _) => Some(known.ty.as_str()),
            (None, Some(_)) if name == "__typename" => Some("String!"),
            (None, Some(on)) => {
                self.report(field.pos, || {
                    format!(
                        "Unknown field \"{}\" on type \"{}\".",
                        short(name),
                        on.name()
                    )
                });
                None
            }
            (None, None) => None,
        };
        self.arguments(
            &node.arguments,
            ty.map(|_| known.map(|known| &known.args)),
            field.pos,
            || format!("field \"{}\"", short(name)),
        );

        let concrete = ty.and_then(|ty| self.registry.concrete_type_by_name(ty));
        let has_selection = !node.selection_set.node.items.is_empty();
        match concrete {
            Some(concrete) if concrete.is_leaf() && has_selection => {
                self.report(field.pos, || {
                    format!(
                        "Field \"{name}\" must not have a selection: \"{}\" has no fields.",
                        concrete.name()
                    )
                });
            }
            Some(concrete) if !concrete.is_leaf() && !has_selection => {
                self.report(field.pos, || {
                    format!(
                        "Field \"{name}\" of type \"{}\" must have a selection of fields.",
                        concrete.name()
                    )
                });
            }
            _ => {}
        }
        let below = concrete.filter(|concrete| concrete.is_composite());
        self.set(&node.selection_set.node, below);
    }

    fn directives(&mut self, directives: &'a [Positioned<Directive>], location: Location) {
        let mut seen = HashSet::new();
        for directive in directives {
            let node = &directive.node;
            let name = node.name.node.as_str();
            let known = self.registry.directives.get(name);
            match known {
                None => self.report(directive.pos, || {
                    format!("Unknown directive \"@{}\".", short(name))
                }),
                Some(known) => {
                    if !known.locations.contains(&location) {
                        self.report(directive.pos, || {
                            format!("Directive \"@{name}\" may not be used on {location:?}.")
                        });
                    }
                    if !known.is_repeatable && !seen.insert(name) {
                        self.report(directive.pos, || {
                            format!("Directive \"@{name}\" can be used only once here.")
                        });
                    }
                }
            }
            self.arguments(
                &node.arguments,
                known.map(|known| Some(&known.args)),
                directive.pos,
                || format!("directive \"@{}\"", short(name)),
            );
        }
    }

    /// `known` is `None` if the field or directive is unknown, and `Some(None)` if it takes no arguments.
    fn arguments(
        &mut self,
        arguments: &'a [(Positioned<Name>, Positioned<Value>)],
        known: Option<Option<&'a IndexMap<String, MetaInputValue>>>,
        pos: Pos,
        of: impl Fn() -> String,
    ) {
        let mut seen = HashSet::new();
        for (name, value) in arguments {
            if !seen.insert(&name.node) {
                self.report(name.pos, || {
                    let name = short(&name.node);
                    format!("There can be only one argument named \"{name}\".")
                });
            }
            let argument = known
                .flatten()
                .and_then(|args| args.get(name.node.as_str()));
            if known.is_some() && argument.is_none() {
                self.report(name.pos, || {
                    format!("Unknown argument \"{}\" of {}.", short(&name.node), of())
                });
            }
            values::check(self, &value.node, argument, value.pos);
        }
        for argument in known.flatten().into_iter().flat_map(IndexMap::values) {
            let required = MetaTypeName::create(&argument.ty).is_non_null()
                && argument.default_value.is_none();
            if required && !arguments.iter().any(|(name, _)| name.node == argument.name) {
                self.report(pos, || {
                    format!(
                        "Argument \"{}\" of type \"{}\" of {} is needed.",
                        argument.name,
                        argument.ty,
                        of()
                    )
                });
            }
        }
    }
}
