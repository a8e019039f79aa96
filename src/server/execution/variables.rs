//! The values of an operation's variables (6.1.2 of the specification), found before anything runs: what does not fit is
//! the client's fault and not an error of the field that reads it.

use std::collections::HashSet;

use async_graphql::{
    Name, Positioned, Variables,
    indexmap::IndexMap,
    parser::types::{Field, OperationDefinition, Selection, SelectionSet, VariableDefinition},
    registry::{MetaInputValue, MetaType, MetaTypeName, Registry},
};
use async_graphql_value::{ConstValue, Number, Value};

use super::rules::scalar_takes;
use crate::error::Error;

/// async-graphql's way to say "the n-th upload of this request" in a variable.
const UPLOAD: &str = "#__graphql_file__:";

/// The values to run with: given ones, coerced, and defaults. Those that the operation does not define are dropped.
///
/// # Errors
/// `BAD_REQUEST` for each variable that does not fit.
pub(super) fn coerce(
    registry: &Registry,
    definitions: &[Positioned<VariableDefinition>],
    mut given: Variables,
    uploads: usize,
) -> Result<Variables, Vec<Error>> {
    let mut values = Variables::default();
    let mut errors = Vec::new();
    for definition in definitions {
        let definition = &definition.node;
        let name = &definition.name.node;
        let ty = definition.var_type.node.to_string();
        let value = given.remove(name).or_else(|| {
            let default = definition.default_value.as_ref()?;
            Some(default.node.clone())
        });
        let Some(value) = value else {
            if !definition.var_type.node.nullable {
                errors.push(Error::BadRequest(format!(
                    "Variable \"${name}\" of type \"{ty}\" is needed, and not given."
                )));
            }
            continue;
        };
        let coercion = Coercion { registry, uploads };
        match coercion.value(value, &ty) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(misfit) => errors.push(Error::BadRequest(misfit.sentence(name))),
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(errors)
    }
}

/// Why a value does not fit, and where in it.
struct Misfit {
    why: String,
    /// From the inside out.
    path: Vec<String>,
}

impl Misfit {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            path: Vec::new(),
        }
    }

    fn under(mut self, segment: impl ToString) -> Self {
        self.path.push(segment.to_string());
        self
    }

    fn sentence(&self, variable: &Name) -> String {
        let path: String = self.path.iter().rev().map(|s| format!(".{s}")).collect();
        format!("Variable \"${variable}{path}\" does not fit: {}.", self.why)
    }
}

struct Coercion<'a> {
    registry: &'a Registry,
    /// Files that came with the request.
    uploads: usize,
}

impl Coercion<'_> {
    fn value(&self, value: ConstValue, ty: &str) -> Result<ConstValue, Misfit> {
        match (MetaTypeName::create(ty), value) {
            (MetaTypeName::NonNull(_), ConstValue::Null) => {
                Err(Misfit::new(format!("\"{ty}\" must not be null")))
            }
            (MetaTypeName::NonNull(inner), value) => self.value(value, inner),
            (_, ConstValue::Null) => Ok(ConstValue::Null),
            (MetaTypeName::List(inner), ConstValue::List(items)) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| self.value(item, inner).map_err(|m| m.under(index)))
                .collect::<Result<_, _>>()
                .map(ConstValue::List),
            (MetaTypeName::List(inner), single) => {
                Ok(ConstValue::List(vec![self.value(single, inner)?]))
            }
            (MetaTypeName::Named(name), value) => self.named(value, name),
        }
    }

    fn named(&self, value: ConstValue, name: &str) -> Result<ConstValue, Misfit> {
        match self.registry.types.get(name) {
            Some(MetaType::InputObject {
                input_fields,
                oneof,
                ..
            }) => self.object(value, name, input_fields, *oneof),
            Some(MetaType::Enum { enum_values, .. }) => match &value {
                ConstValue::String(item) if enum_values.contains_key(item) => {
                    Ok(ConstValue::Enum(Name::new(item)))
                }
                // A default in the document.
                ConstValue::Enum(_) => Ok(value),
                ConstValue::String(item) => {
                    Err(Misfit::new(format!("\"{item}\" is no value of \"{name}\"")))
                }
                _ => Err(Misfit::new(format!("expected a value of \"{name}\""))),
            },
            Some(MetaType::Scalar { .. }) if name == "Upload" => self.upload(value),
            Some(MetaType::Scalar { is_valid, .. }) => {
                let value = lenient(value, name);
                if scalar_takes(name, is_valid.as_ref(), &value) {
                    return Ok(value);
                }
                Err(Misfit::new(match (name, &value) {
                    ("Int", ConstValue::Number(number)) => {
                        format!("{number} is no whole number of 32 bits")
                    }
                    _ => format!("expected a value of \"{name}\""),
                }))
            }
            _ => Err(Misfit::new(format!("unknown type \"{name}\""))),
        }
    }

    fn object(
        &self,
        value: ConstValue,
        name: &str,
        known: &IndexMap<String, MetaInputValue>,
        oneof: bool,
    ) -> Result<ConstValue, Misfit> {
        let ConstValue::Object(mut given) = value else {
            return Err(Misfit::new(format!("expected an object of \"{name}\"")));
        };
        if let Some(unknown) = given.keys().find(|key| !known.contains_key(key.as_str())) {
            return Err(Misfit::new(format!("\"{name}\" has no such field")).under(unknown));
        }
        if oneof && (given.len() != 1 || given.values().any(|v| *v == ConstValue::Null)) {
            return Err(Misfit::new(format!(
                "\"{name}\" takes exactly one field, which is not null"
            )));
        }
        let mut object = IndexMap::with_capacity(given.len());
        for field in known.values() {
            match given.swap_remove(field.name.as_str()) {
                Some(value) => {
                    let value = self
                        .value(value, &field.ty)
                        .map_err(|m| m.under(&field.name))?;
                    object.insert(Name::new(&field.name), value);
                }
                // What is absent stays absent: "unchanged" is not null, and defaults are filled in where it is parsed.
                None if MetaTypeName::create(&field.ty).is_non_null()
                    && field.default_value.is_none() =>
                {
                    let why = format!("\"{}\" is needed, and not given", field.ty);
                    return Err(Misfit::new(why).under(&field.name));
                }
                None => {}
            }
        }
        Ok(ConstValue::Object(object))
    }

    /// A string that looks like an upload but names none would have async-graphql panic.
    fn upload(&self, value: ConstValue) -> Result<ConstValue, Misfit> {
        let index = match &value {
            ConstValue::String(text) => text
                .strip_prefix(UPLOAD)
                .and_then(|index| index.parse::<usize>().ok()),
            _ => None,
        };
        if index.is_some_and(|index| index < self.uploads) {
            Ok(value)
        } else {
            Err(Misfit::new("expected a file of a multipart request"))
        }
    }
}

/// What is of another type but means the same: an id that is a number, a whole number with a decimal point.
fn lenient(value: ConstValue, ty: &str) -> ConstValue {
    match (ty, &value) {
        ("ID", ConstValue::Number(number)) if !number.is_f64() => {
            ConstValue::String(number.to_string())
        }
        ("Int", ConstValue::Number(number)) if number.is_f64() => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() <= f64::from(u32::MAX) => {
                ConstValue::Number(Number::from(float as i64))
            }
            _ => value,
        },
        _ => value,
    }
}

/// Takes away arguments whose variable has no value: they count as not given, so that their defaults hold (6.4.1).
pub(super) fn without_absent(operation: &mut OperationDefinition, variables: &Variables) {
    let absent: HashSet<_> = operation
        .variable_definitions
        .iter()
        .map(|definition| definition.node.name.node.clone())
        .filter(|name| !variables.contains_key(name))
        .collect();
    if !absent.is_empty() {
        strip(&mut operation.selection_set.node, &absent);
    }
}

fn strip(set: &mut SelectionSet, absent: &HashSet<Name>) {
    for selection in &mut set.items {
        match &mut selection.node {
            Selection::Field(field) => {
                let Field {
                    arguments,
                    selection_set,
                    ..
                } = &mut field.node;
                arguments.retain(
                    |(_, value)| !matches!(&value.node, Value::Variable(name) if absent.contains(name)),
                );
                strip(&mut selection_set.node, absent);
            }
            Selection::InlineFragment(inline) => strip(&mut inline.node.selection_set.node, absent),
            Selection::FragmentSpread(_) => {}
        }
    }
}
