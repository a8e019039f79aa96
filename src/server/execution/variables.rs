//! Coerces the values of an operation's variables (6.1.2 of the specification) before anything runs. An invalid value
//! is an error of the request, not of the field that uses it.

use std::{collections::HashSet, fmt::Display};

use async_graphql::{
    Name, Positioned, Variables,
    indexmap::IndexMap,
    parser::types::{Field, OperationDefinition, Selection, SelectionSet, VariableDefinition},
    registry::{MetaInputValue, MetaType, MetaTypeName, Registry},
};
use async_graphql_value::{ConstValue, Number, Value};

use super::{documents::ERRORS, rules::scalar_takes};
use crate::error::{Error, Rule, Sentence, short};

/// async-graphql's notation for "the n-th upload of this request" in a variable.
pub const UPLOAD: &str = "#__graphql_file__:";

/// The values to run with: the given ones, coerced, and defaults. Undefined variables are dropped.
///
/// # Errors
/// `BAD_REQUEST` for each invalid variable.
pub(super) fn coerce(
    registry: &Registry,
    definitions: &[Positioned<VariableDefinition>],
    mut given: Variables,
    uploads: usize,
) -> Result<Variables, Vec<Error>> {
    let mut values = Variables::default();
    let mut errors = Vec::new();
    for definition in definitions {
        if errors.len() >= ERRORS {
            break;
        }
        let definition = &definition.node;
        let name = &definition.name.node;
        let ty = definition.var_type.node.to_string();
        let value = given.remove(name).or_else(|| {
            let default = definition.default_value.as_ref()?;
            Some(default.node.clone())
        });
        let Some(value) = value else {
            if !definition.var_type.node.nullable {
                let (name, ty) = (short(name), short(&ty));
                errors.push(Error::bad_request(
                    format!(
                        "Variable \"${name}\" of type \"{ty}\" is required, but was not provided."
                    ),
                    format!("변수 \"${name}\"({ty})의 값이 필요합니다."),
                ));
            }
            continue;
        };
        let coercion = Coercion { registry, uploads };
        match coercion.value(value, &ty) {
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(misfit) => errors.push(misfit.error(name)),
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(errors)
    }
}

/// Why a value is invalid, and where in it.
struct Misfit {
    why: Why,
    /// From the inside out.
    path: Vec<String>,
}

enum Why {
    /// Clauses without an end.
    Sentence(Sentence),
    /// Null for an input field that has a default: a broken rule of the field.
    Default,
}

impl Misfit {
    fn new(en: impl Into<String>, ko: impl Into<String>) -> Self {
        Self::of(Why::Sentence(Sentence {
            en: en.into(),
            ko: ko.into(),
        }))
    }

    fn of(why: Why) -> Self {
        Self {
            why,
            path: Vec::new(),
        }
    }

    fn under(mut self, segment: impl Display) -> Self {
        self.path.push(short(segment));
        self
    }

    fn error(&self, variable: &Name) -> Error {
        let path: Vec<_> = self.path.iter().rev().map(String::as_str).collect();
        match &self.why {
            Why::Default => Error::invalid(path.join("."), Rule::Null),
            Why::Sentence(Sentence { en, ko }) => {
                let path: String = path.iter().map(|s| format!(".{s}")).collect();
                let variable = short(variable);
                Error::bad_request(
                    format!("Variable \"${variable}{path}\" is invalid: {en}."),
                    format!("변수 \"${variable}{path}\"의 값이 맞지 않습니다: {ko}."),
                )
            }
        }
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
            (MetaTypeName::NonNull(_), ConstValue::Null) => Err(Misfit::new(
                format!("\"{ty}\" must not be null"),
                format!("\"{ty}\" 자리에 null을 쓸 수 없습니다"),
            )),
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
                    let item = short(item);
                    Err(Misfit::new(
                        format!("\"{item}\" is no value of \"{name}\""),
                        format!("\"{item}\" 값은 \"{name}\"에 없습니다"),
                    ))
                }
                _ => Err(expected(name)),
            },
            Some(MetaType::Scalar { .. }) if name == "Upload" => self.upload(value),
            Some(MetaType::Scalar { is_valid, .. }) => {
                let value = lenient(value, name);
                if scalar_takes(name, is_valid.as_ref(), &value) {
                    return Ok(value);
                }
                Err(match (name, &value) {
                    ("Int", ConstValue::Number(number)) => Misfit::new(
                        format!("{number} is no whole number of 32 bits"),
                        format!("{number} 값은 32비트 정수가 아닙니다"),
                    ),
                    _ => expected(name),
                })
            }
            _ => Err(Misfit::new(
                format!("unknown type \"{name}\""),
                format!("알 수 없는 타입 \"{name}\"입니다"),
            )),
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
            return Err(Misfit::new(
                format!("expected an object of \"{name}\""),
                format!("\"{name}\" 객체가 필요합니다"),
            ));
        };
        if let Some(unknown) = given.keys().find(|key| !known.contains_key(key.as_str())) {
            let misfit = Misfit::new(
                format!("\"{name}\" has no such field"),
                format!("\"{name}\"에 없는 필드입니다"),
            );
            return Err(misfit.under(unknown));
        }
        if oneof && (given.len() != 1 || given.values().any(|v| *v == ConstValue::Null)) {
            return Err(Misfit::new(
                format!("\"{name}\" takes exactly one field, which is not null"),
                format!("\"{name}\"에는 null이 아닌 필드 하나만 쓸 수 있습니다"),
            ));
        }
        let mut object = IndexMap::with_capacity(given.len());
        for field in known.values() {
            match given.swap_remove(field.name.as_str()) {
                Some(ConstValue::Null) if is_never_null(field) => {
                    return Err(Misfit::of(Why::Default).under(&field.name));
                }
                Some(value) => {
                    let value = self
                        .value(value, &field.ty)
                        .map_err(|m| m.under(&field.name))?;
                    object.insert(Name::new(&field.name), value);
                }
                // Absent fields stay absent: "unchanged" is not null, and the field's parser fills in defaults.
                None if MetaTypeName::create(&field.ty).is_non_null()
                    && field.default_value.is_none() =>
                {
                    let misfit = Misfit::new(
                        format!("\"{}\" is needed, and not given", field.ty),
                        format!("\"{}\" 값이 필요합니다", field.ty),
                    );
                    return Err(misfit.under(&field.name));
                }
                None => {}
            }
        }
        Ok(ConstValue::Object(object))
    }

    /// A string that looks like an upload but refers to none would make async-graphql panic.
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
            Err(Misfit::new(
                "expected a file of a multipart request",
                "multipart 요청의 파일이 필요합니다",
            ))
        }
    }
}

fn expected(ty: &str) -> Misfit {
    Misfit::new(
        format!("expected a value of \"{ty}\""),
        format!("\"{ty}\" 값이 필요합니다"),
    )
}

/// Whether a field may be absent but not null.
fn is_never_null(field: &MetaInputValue) -> bool {
    field.default_value.is_some() && MetaTypeName::create(&field.ty).is_non_null()
}

/// Converts values of another type with the same meaning: a number as an id, a whole number with a decimal point as an
/// Int.
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

/// Removes arguments whose variable has no value: they count as absent, so that their defaults apply (6.4.1).
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
