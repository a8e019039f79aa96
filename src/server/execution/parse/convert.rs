//! Converts a syntax tree to a document.

use std::collections::{HashMap, hash_map::Entry};

use apollo_parser::cst::{self, CstNode};
use async_graphql::{
    Name, Pos, Positioned,
    indexmap::IndexMap,
    parser::types::{
        BaseType, Directive, DocumentOperations, ExecutableDocument, Field, FragmentDefinition,
        FragmentSpread, InlineFragment, OperationDefinition, OperationType, Selection,
        SelectionSet, Type, TypeCondition, VariableDefinition,
    },
};
use async_graphql_value::{ConstValue, Number, Value};

use super::{Parsed, tokens::Tokens};
use crate::error::{Error, short};

/// Converts the nodes of one tree without errors.
pub(super) struct Converter<'a> {
    tokens: &'a Tokens,
    repeated: Vec<(String, Pos)>,
}

type Arguments = Vec<(Positioned<Name>, Positioned<Value>)>;

impl<'a> Converter<'a> {
    pub fn new(tokens: &'a Tokens) -> Self {
        Self {
            tokens,
            repeated: Vec::new(),
        }
    }

    /// # Errors
    /// `GRAPHQL_PARSE_FAILED` for definitions of types; `GRAPHQL_VALIDATION_FAILED` for names that are defined twice.
    pub fn document(mut self, document: &cst::Document) -> Result<Parsed, Error> {
        let mut anonymous = Vec::new();
        let mut operations = HashMap::new();
        let mut fragments = HashMap::new();
        let mut definitions = 0;
        for definition in document.definitions() {
            definitions += 1;
            match definition {
                cst::Definition::OperationDefinition(node) => {
                    let operation = self.operation(&node)?;
                    match node.name() {
                        None => anonymous.push(operation),
                        Some(name) => insert(&mut operations, &name, operation, "operation")?,
                    }
                }
                cst::Definition::FragmentDefinition(node) => {
                    let name = node.fragment_name().and_then(|name| name.name());
                    let name = self.of(name, &node)?;
                    let fragment = self.fragment(&node)?;
                    insert(&mut fragments, &name, fragment, "fragment")?;
                }
                other => {
                    let offset = start(&other);
                    return Err(
                        self.expected("a query, mutation, subscription or fragment", offset)
                    );
                }
            }
        }
        if definitions == 0 {
            return Err(self.expected("a query, mutation or subscription", 0));
        }
        let is_one = anonymous.len() == 1 && operations.is_empty();
        let operations = match anonymous.pop() {
            Some(operation) if is_one => DocumentOperations::Single(operation),
            Some(operation) => {
                return Err(Error::Validation {
                    message: "An anonymous operation must be the only one of its document."
                        .to_owned(),
                    locations: vec![operation.pos],
                });
            }
            None if operations.is_empty() => {
                return Err(Error::Validation {
                    message: "The document contains no operation.".to_owned(),
                    locations: Vec::new(),
                });
            }
            None => DocumentOperations::Multiple(operations),
        };
        self.repeated.sort_by_key(|(_, pos)| *pos);
        Ok(Parsed {
            tokens: self.tokens.count(),
            document: ExecutableDocument {
                operations,
                fragments,
            },
            repeated: self.repeated,
        })
    }

    fn operation(
        &mut self,
        node: &cst::OperationDefinition,
    ) -> Result<Positioned<OperationDefinition>, Error> {
        let ty = match node.operation_type() {
            Some(ty) if ty.mutation_token().is_some() => OperationType::Mutation,
            Some(ty) if ty.subscription_token().is_some() => OperationType::Subscription,
            _ => OperationType::Query,
        };
        let variables = node.variable_definitions();
        let variables = variables.iter().flat_map(|all| all.variable_definitions());
        let operation = OperationDefinition {
            ty,
            variable_definitions: variables
                .map(|variable| self.variable(&variable))
                .collect::<Result<_, _>>()?,
            directives: self.directives(node.directives())?,
            selection_set: self.set(node.selection_set(), node)?,
        };
        Ok(self.positioned(node, operation))
    }

    fn variable(
        &mut self,
        node: &cst::VariableDefinition,
    ) -> Result<Positioned<VariableDefinition>, Error> {
        let variable = self.of(node.variable(), node)?;
        let ty = self.of(node.ty(), node)?;
        let default_value = match node.default_value() {
            None => None,
            Some(default) => Some(self.constant(&default)?),
        };
        let definition = VariableDefinition {
            name: {
                let name = self.of(variable.name(), node)?;
                self.name(&name)
            },
            var_type: {
                let converted = self.ty(&ty)?;
                self.positioned(&ty, converted)
            },
            directives: self.directives(node.directives())?,
            default_value,
        };
        Ok(self.positioned(node, definition))
    }

    fn constant(&mut self, node: &cst::DefaultValue) -> Result<Positioned<ConstValue>, Error> {
        let value = self.of(node.value(), node)?;
        let converted = self.value(&value)?;
        let constant = converted
            .into_const()
            .ok_or_else(|| self.expected("a constant", start(&value)))?;
        Ok(self.positioned(&value, constant))
    }

    fn ty(&self, node: &cst::Type) -> Result<Type, Error> {
        let (base, nullable) = match node {
            cst::Type::NamedType(named) => (self.named(Some(named.clone()), node)?, true),
            cst::Type::ListType(list) => (self.list(list)?, true),
            cst::Type::NonNullType(inner) => match inner.list_type() {
                Some(list) => (self.list(&list)?, false),
                None => (self.named(inner.named_type(), node)?, false),
            },
        };
        Ok(Type { base, nullable })
    }

    fn named(&self, named: Option<cst::NamedType>, node: &cst::Type) -> Result<BaseType, Error> {
        let name = self.of(named.and_then(|named| named.name()), node)?;
        Ok(BaseType::Named(Name::new(name.text())))
    }

    fn list(&self, list: &cst::ListType) -> Result<BaseType, Error> {
        let inner = self.of(list.ty(), list)?;
        Ok(BaseType::List(Box::new(self.ty(&inner)?)))
    }

    fn fragment(
        &mut self,
        node: &cst::FragmentDefinition,
    ) -> Result<Positioned<FragmentDefinition>, Error> {
        let fragment = FragmentDefinition {
            type_condition: {
                let condition = self.of(node.type_condition(), node)?;
                self.condition(&condition)?
            },
            directives: self.directives(node.directives())?,
            selection_set: self.set(node.selection_set(), node)?,
        };
        Ok(self.positioned(node, fragment))
    }

    fn condition(&self, node: &cst::TypeCondition) -> Result<Positioned<TypeCondition>, Error> {
        let name = self.of(node.named_type().and_then(|named| named.name()), node)?;
        let on = self.name(&name);
        Ok(self.positioned(node, TypeCondition { on }))
    }

    fn set(
        &mut self,
        set: Option<cst::SelectionSet>,
        node: &impl CstNode,
    ) -> Result<Positioned<SelectionSet>, Error> {
        let set = self.of(set, node)?;
        let items = set.selections().map(|selection| {
            let converted = self.selection(&selection)?;
            Ok(self.positioned(&selection, converted))
        });
        let items = items.collect::<Result<_, Error>>()?;
        Ok(self.positioned(&set, SelectionSet { items }))
    }

    fn selection(&mut self, node: &cst::Selection) -> Result<Selection, Error> {
        Ok(match node {
            cst::Selection::Field(node) => Selection::Field(self.field(node)?),
            cst::Selection::FragmentSpread(node) => {
                let name = node.fragment_name().and_then(|name| name.name());
                let name = self.of(name, node)?;
                let spread = FragmentSpread {
                    fragment_name: self.name(&name),
                    directives: self.directives(node.directives())?,
                };
                Selection::FragmentSpread(self.positioned(node, spread))
            }
            cst::Selection::InlineFragment(node) => {
                let condition = node.type_condition();
                let inline = InlineFragment {
                    type_condition: condition
                        .map(|condition| self.condition(&condition))
                        .transpose()?,
                    directives: self.directives(node.directives())?,
                    selection_set: self.set(node.selection_set(), node)?,
                };
                Selection::InlineFragment(self.positioned(node, inline))
            }
        })
    }

    fn field(&mut self, node: &cst::Field) -> Result<Positioned<Field>, Error> {
        let name = self.of(node.name(), node)?;
        let alias = node.alias().and_then(|alias| alias.name());
        let set = match node.selection_set() {
            None => Positioned::new(SelectionSet::default(), Pos::default()),
            set => self.set(set, node)?,
        };
        let field = Field {
            alias: alias.map(|alias| self.name(&alias)),
            name: self.name(&name),
            arguments: self.arguments(node.arguments())?,
            directives: self.directives(node.directives())?,
            selection_set: set,
        };
        Ok(self.positioned(node, field))
    }

    fn directives(
        &mut self,
        all: Option<cst::Directives>,
    ) -> Result<Vec<Positioned<Directive>>, Error> {
        let all = all.iter().flat_map(|all| all.directives());
        all.map(|node| {
            let name = self.of(node.name(), &node)?;
            let directive = Directive {
                name: self.name(&name),
                arguments: self.arguments(node.arguments())?,
            };
            Ok(self.positioned(&node, directive))
        })
        .collect()
    }

    fn arguments(&mut self, all: Option<cst::Arguments>) -> Result<Arguments, Error> {
        let all = all.iter().flat_map(|all| all.arguments());
        all.map(|node| {
            let name = self.of(node.name(), &node)?;
            let value = self.of(node.value(), &node)?;
            let converted = self.value(&value)?;
            Ok((self.name(&name), self.positioned(&value, converted)))
        })
        .collect()
    }

    fn value(&mut self, node: &cst::Value) -> Result<Value, Error> {
        Ok(match node {
            cst::Value::Variable(variable) => {
                let name = self.of(variable.name(), node)?;
                Value::Variable(Name::new(name.text()))
            }
            cst::Value::StringValue(text) => Value::String(text.into()),
            cst::Value::FloatValue(_) | cst::Value::IntValue(_) => {
                let number: Option<Number> = node.source_string().trim().parse().ok();
                let number = number.ok_or_else(|| self.expected("a number", start(node)))?;
                Value::Number(number)
            }
            cst::Value::BooleanValue(value) => Value::Boolean(value.true_token().is_some()),
            cst::Value::NullValue(_) => Value::Null,
            cst::Value::EnumValue(value) => {
                let name = self.of(value.name(), node)?;
                Value::Enum(Name::new(name.text()))
            }
            cst::Value::ListValue(list) => {
                let values = list.values().map(|value| self.value(&value));
                Value::List(values.collect::<Result<_, _>>()?)
            }
            cst::Value::ObjectValue(object) => {
                let mut fields = IndexMap::new();
                for field in object.object_fields() {
                    let name = self.of(field.name(), &field)?;
                    let value = self.of(field.value(), &field)?;
                    let value = self.value(&value)?;
                    if fields.insert(Name::new(name.text()), value).is_some() {
                        let pos = self.tokens.at(start(&name));
                        self.repeated.push((name.text().to_string(), pos));
                    }
                }
                Value::Object(fields)
            }
        })
    }

    fn name(&self, node: &cst::Name) -> Positioned<Name> {
        self.positioned(node, Name::new(node.text()))
    }

    fn positioned<T>(&self, node: &impl CstNode, converted: T) -> Positioned<T> {
        Positioned::new(converted, self.tokens.at(start(node)))
    }

    /// A part that the grammar requires of `node`.
    fn of<T>(&self, part: Option<T>, node: &impl CstNode) -> Result<T, Error> {
        part.ok_or_else(|| self.expected("more", start(node)))
    }

    fn expected(&self, what: &str, offset: usize) -> Error {
        Error::Parse {
            message: format!("Syntax error: expected {what}."),
            locations: vec![self.tokens.at(offset)],
        }
    }
}

fn start(node: &impl CstNode) -> usize {
    node.syntax().text_range().start().into()
}

/// Adds a definition under its name.
fn insert<T>(
    all: &mut HashMap<Name, Positioned<T>>,
    name: &cst::Name,
    definition: Positioned<T>,
    what: &str,
) -> Result<(), Error> {
    match all.entry(Name::new(name.text())) {
        Entry::Occupied(first) => Err(Error::Validation {
            message: format!(
                "There can be only one {what} named \"{}\".",
                short(name.text())
            ),
            locations: vec![first.get().pos, definition.pos],
        }),
        Entry::Vacant(place) => {
            place.insert(definition);
            Ok(())
        }
    }
}
