//! Checks literals against the expected types.

use std::borrow::Cow;

use async_graphql::{
    Pos,
    registry::{MetaInputValue, MetaType, MetaTypeName},
};
use async_graphql_value::{ConstValue, Value};

use super::{Walk, usage::Usage};
use crate::error::short;

/// The position of a literal: the expected type, if known, and whether the argument or field has a default.
#[derive(Clone, Copy)]
struct Slot<'a> {
    ty: Option<&'a str>,
    has_default: bool,
    pos: Pos,
}

/// Checks the value of an argument, and notes the variables in it.
pub(super) fn check<'a>(
    walk: &mut Walk<'a>,
    value: &'a Value,
    argument: Option<&'a MetaInputValue>,
    pos: Pos,
) {
    let slot = Slot {
        ty: argument.map(|argument| argument.ty.as_str()),
        has_default: argument.is_some_and(|argument| argument.default_value.is_some()),
        pos,
    };
    let mut found = Found::default();
    found.value(walk.registry, value, slot);
    walk.scope.usages.extend(found.usages);
    for misfit in found.misfits {
        walk.report(pos, || misfit);
    }
}

/// Checks the default of a variable.
pub(super) fn check_constant(walk: &mut Walk<'_>, value: &ConstValue, ty: &str, pos: Pos) {
    let value = value.clone().into_value();
    let slot = Slot {
        ty: Some(ty),
        has_default: false,
        pos,
    };
    let mut found = Found::default();
    found.value(walk.registry, &value, slot);
    for misfit in found.misfits {
        walk.report(pos, || misfit);
    }
}

/// Whether the scalar `ty` takes `value`; `valid` is the scalar's own opinion.
pub(in crate::server::execution) fn scalar_takes(
    ty: &str,
    valid: Option<&async_graphql::registry::ScalarValidatorFn>,
    value: &ConstValue,
) -> bool {
    match (ty, value) {
        ("Int", ConstValue::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        ("Float", ConstValue::Number(n)) => n.as_f64().is_some_and(f64::is_finite),
        ("ID", ConstValue::Number(n)) => n.is_i64() || n.is_u64(),
        ("ID" | "String", ConstValue::String(_)) | ("Boolean", ConstValue::Boolean(_)) => true,
        ("Int" | "Float" | "ID" | "String" | "Boolean", _) => false,
        _ => valid.is_none_or(|valid| valid(value)),
    }
}

#[derive(Default)]
struct Found<'a> {
    /// Fields and indices from the argument down to the current value.
    path: Vec<Cow<'a, str>>,
    usages: Vec<Usage<'a>>,
    misfits: Vec<String>,
}

impl<'a> Found<'a> {
    fn value(
        &mut self,
        registry: &'a async_graphql::registry::Registry,
        value: &'a Value,
        slot: Slot<'a>,
    ) {
        let item = |ty| Slot {
            ty,
            has_default: false,
            ..slot
        };
        let Some(ty) = slot.ty else {
            match value {
                Value::Variable(name) => self.usage(name, slot),
                Value::List(items) => items
                    .iter()
                    .for_each(|v| self.value(registry, v, item(None))),
                Value::Object(fields) => fields
                    .values()
                    .for_each(|v| self.value(registry, v, item(None))),
                _ => {}
            }
            return;
        };
        match (MetaTypeName::create(ty), value) {
            (_, Value::Variable(name)) => self.usage(name, slot),
            (MetaTypeName::NonNull(_), Value::Null) => self.misfit(ty, value),
            (MetaTypeName::NonNull(inner), _) => self.value(registry, value, item(Some(inner))),
            (_, Value::Null) => {}
            (MetaTypeName::List(inner), Value::List(items)) => {
                for (index, value) in items.iter().enumerate() {
                    self.path.push(index.to_string().into());
                    self.value(registry, value, item(Some(inner)));
                    self.path.pop();
                }
            }
            // A single value is accepted as a list of one item.
            (MetaTypeName::List(inner), _) => self.value(registry, value, item(Some(inner))),
            (MetaTypeName::Named(name), _) => match registry.types.get(name) {
                Some(MetaType::InputObject {
                    input_fields,
                    oneof,
                    ..
                }) => self.object(registry, value, ty, input_fields, *oneof, slot.pos),
                Some(MetaType::Enum { enum_values, .. }) => match value {
                    Value::Enum(name) if enum_values.contains_key(name.as_str()) => {}
                    _ => self.misfit(ty, value),
                },
                Some(MetaType::Scalar { .. }) if name == "Upload" => self
                    .misfits
                    .push("An upload can only be given as a variable.".to_owned()),
                Some(MetaType::Scalar { is_valid, .. }) => match value.clone().into_const() {
                    Some(constant) if scalar_takes(name, is_valid.as_ref(), &constant) => {}
                    Some(_) => self.misfit(ty, value),
                    // Variables within a scalar of free form, such as JSON.
                    None => self.value(registry, value, item(None)),
                },
                _ => {}
            },
        }
    }

    fn object(
        &mut self,
        registry: &'a async_graphql::registry::Registry,
        value: &'a Value,
        ty: &str,
        known: &'a async_graphql::indexmap::IndexMap<String, MetaInputValue>,
        oneof: bool,
        pos: Pos,
    ) {
        let Value::Object(fields) = value else {
            return self.misfit(ty, value);
        };
        for (name, value) in fields {
            let field = known.get(name.as_str());
            if field.is_none() {
                self.misfits.push(format!(
                    "Unknown field \"{}\" of input type \"{ty}\".",
                    short(name)
                ));
            }
            let slot = Slot {
                ty: field.map(|field| field.ty.as_str()),
                has_default: field.is_some_and(|field| field.default_value.is_some()),
                pos,
            };
            self.path.push(name.as_str().into());
            self.value(registry, value, slot);
            self.path.pop();
        }
        for field in known.values() {
            let required =
                MetaTypeName::create(&field.ty).is_non_null() && field.default_value.is_none();
            if required && !fields.contains_key(field.name.as_str()) {
                self.misfits.push(format!(
                    "Field \"{}\" of type \"{}\" of input type \"{ty}\" is needed.",
                    field.name, field.ty
                ));
            }
        }
        if oneof && (fields.len() != 1 || fields.values().any(|v| *v == Value::Null)) {
            self.misfits.push(format!(
                "Input type \"{ty}\" takes exactly one field, which is not null."
            ));
        }
    }

    fn usage(&mut self, name: &'a str, slot: Slot<'a>) {
        let is_non_null = slot
            .ty
            .is_some_and(|ty| MetaTypeName::create(ty).is_non_null());
        let never_null =
            (slot.has_default && is_non_null && !self.path.is_empty()).then(|| self.path.join("."));
        self.usages.push(Usage {
            name,
            expected: slot.ty,
            has_default: slot.has_default,
            never_null,
            pos: slot.pos,
        });
    }

    fn misfit(&mut self, ty: &str, value: &Value) {
        self.misfits.push(format!(
            "Expected a value of type \"{ty}\", found {}.",
            short(value)
        ));
    }
}
