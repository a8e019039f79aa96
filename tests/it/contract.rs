//! The printed schema offers at least what `contract.graphql` promises: same names, arguments, types and guards.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql::{
    Positioned,
    parser::{
        parse_schema,
        types::{
            ConstDirective, FieldDefinition, InputValueDefinition, TypeKind, TypeSystemDefinition,
        },
    },
};
use madang::server;

/// Everything that a schema promises, as lines: `type.field: Type! @auth(ADMIN)`, `type.field(argument): Type = default`.
fn promises(sdl: &str) -> BTreeMap<String, String> {
    let mut promises = BTreeMap::new();
    for definition in parse_schema(sdl).unwrap().definitions {
        let TypeSystemDefinition::Type(definition) = definition else {
            continue;
        };
        let name = definition.node.name.node.to_string();
        let (kind, implements): (&str, &[_]) = match &definition.node.kind {
            TypeKind::Scalar => ("scalar", &[]),
            TypeKind::Object(object) => {
                fields(&name, &object.fields, &mut promises);
                ("type", &object.implements)
            }
            TypeKind::Interface(interface) => {
                fields(&name, &interface.fields, &mut promises);
                ("interface", &interface.implements)
            }
            TypeKind::Union(union) => {
                for member in &union.members {
                    promises.insert(format!("{name} | {}", member.node), String::new());
                }
                ("union", &[])
            }
            TypeKind::Enum(values) => {
                for value in &values.values {
                    promises.insert(format!("{name}.{}", value.node.value.node), String::new());
                }
                ("enum", &[])
            }
            TypeKind::InputObject(input) => {
                for field in &input.fields {
                    let (key, promise) =
                        input_value(&format!("{name}.{}", field.node.name.node), field);
                    promises.insert(key, promise);
                }
                ("input", &[])
            }
        };
        let implements: BTreeSet<_> = implements.iter().map(|i| i.node.to_string()).collect();
        promises.insert(
            name,
            format!(
                "{kind} {implements:?}{}",
                directive(&definition.node.directives, "specifiedBy", "url")
            ),
        );
    }
    promises
}

fn fields(
    owner: &str,
    fields: &[Positioned<FieldDefinition>],
    promises: &mut BTreeMap<String, String>,
) {
    for field in fields {
        let key = format!("{owner}.{}", field.node.name.node);
        let auth = directive(&field.node.directives, "auth", "requires");
        promises.insert(key.clone(), format!("{}{auth}", field.node.ty.node));
        for argument in &field.node.arguments {
            let (key, promise) =
                input_value(&format!("{key}({})", argument.node.name.node), argument);
            promises.insert(key, promise);
        }
    }
}

fn input_value(key: &str, value: &Positioned<InputValueDefinition>) -> (String, String) {
    let default = value
        .node
        .default_value
        .as_ref()
        .map(|d| format!(" = {}", d.node))
        .unwrap_or_default();
    (key.to_owned(), format!("{}{default}", value.node.ty.node))
}

fn directive(directives: &[Positioned<ConstDirective>], name: &str, argument: &str) -> String {
    let found = directives.iter().find(|d| d.node.name.node == name);
    found
        .and_then(|d| d.node.get_argument(argument))
        .map(|a| format!(" @{name}({})", a.node))
        .unwrap_or_default()
}

#[test]
fn the_schema_keeps_what_the_contract_promises() {
    let printed = promises(&server::sdl());
    let promised = promises(include_str!("../contract.graphql"));

    let broken: Vec<_> = promised
        .iter()
        .filter(|(key, promise)| printed.get(*key) != Some(promise))
        .map(|(key, promise)| format!("{key}: {promise}   is   {:?}", printed.get(key)))
        .collect();

    assert!(broken.is_empty(), "{broken:#?}");
}
