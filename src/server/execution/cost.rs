//! How much an operation may ask for: one for each object, and what `@cost` says for fields and arguments that read more
//! than they return. The structure is computed once for each document; the sizes of pages and id lists come from the
//! variables of each request.

use async_graphql::{
    Variables,
    registry::{MetaDirectiveInvocation, MetaTypeName},
};
use async_graphql_value::{ConstValue, Value};

use super::collect::{Below, Collected};
use crate::{config::Limits, error::Error};

/// The page of a connection that names neither `first` nor `last`.
const DEFAULT_PAGE: u64 = 20;

/// A field that returns objects or has a weight. Other fields cost nothing and are left out.
pub(super) struct Cost {
    count: Count,
    /// What the field costs itself, however much it returns.
    weight: u64,
    /// What its arguments cost when they have a value.
    arguments: Vec<(Value, u64)>,
    /// One for each possible object type. The most expensive one counts.
    alternatives: Vec<Vec<Cost>>,
}

/// How many objects a field returns, or how often a page multiplies what is below it.
enum Count {
    /// A field without objects.
    None,
    One,
    /// A list as long as one of its arguments.
    Ids(Value),
    /// A list of which only the bound is known. `None` means the bound of id lists.
    List(Option<u64>),
    /// A connection.
    Page {
        first: Option<Value>,
        last: Option<Value>,
    },
}

/// The costs of `fields`. Introspection is free, since it has its own limits.
pub(super) fn of(fields: &[Collected<'_>], under_connection: bool) -> Vec<Cost> {
    fields
        .iter()
        .filter_map(|collected| {
            let definition = collected.definition?;
            let field = &collected.field.node;
            let weight = weight_of(&definition.directive_invocations);
            let is_leaf = matches!(collected.below, Below::Leaf);
            if definition.name.starts_with("__") || is_leaf && weight == 0 {
                return None;
            }
            let argument = |name| field.get_argument(name).map(|value| value.node.clone());
            let is_list = MetaTypeName::create(&definition.ty).is_list();
            let is_connection = !is_list
                && ["first", "last"]
                    .iter()
                    .any(|name| definition.args.contains_key(*name));
            let count = if is_leaf {
                Count::None
            } else if is_connection {
                Count::Page {
                    first: argument("first"),
                    last: argument("last"),
                }
            } else if !is_list || under_connection {
                Count::One
            } else if let Some(ids) = argument("ids") {
                Count::Ids(ids)
            } else {
                Count::List(assumed_size(definition))
            };
            let alternatives = match &collected.below {
                Below::Leaf => Vec::new(),
                Below::Object(_, fields) => vec![of(fields, is_connection)],
                Below::Abstract(alternatives) => alternatives
                    .iter()
                    .map(|(_, fields)| of(fields, is_connection))
                    .collect(),
            };
            let arguments = field.arguments.iter().filter_map(|(name, value)| {
                let definition = definition.args.get(name.node.as_str())?;
                let weight = weight_of(&definition.directive_invocations);
                (weight > 0).then(|| (value.node.clone(), weight))
            });
            Some(Cost {
                count,
                weight,
                arguments: arguments.collect(),
                alternatives,
            })
        })
        .collect()
}

/// The value of `@cost(weight: …)`, zero without one.
fn weight_of(directives: &[MetaDirectiveInvocation]) -> u64 {
    match argument_of(directives, "cost", "weight") {
        Some(ConstValue::String(weight)) => weight.parse().unwrap_or_default(),
        _ => 0,
    }
}

/// The value of `@listSize(assumedSize: …)` in the field's definition, as in other cost directives.
fn assumed_size(definition: &async_graphql::registry::MetaField) -> Option<u64> {
    match argument_of(&definition.directive_invocations, "listSize", "assumedSize")? {
        ConstValue::Number(size) => size.as_u64(),
        _ => None,
    }
}

fn argument_of<'a>(
    directives: &'a [MetaDirectiveInvocation],
    directive: &str,
    argument: &str,
) -> Option<&'a ConstValue> {
    let found = directives.iter().find(|found| found.name == directive)?;
    found.args.get(argument)
}

/// How many objects are requested.
///
/// # Errors
/// `LIMIT_EXCEEDED` for too many, unless a page is out of range, which its resolver reports better.
pub(super) fn check(costs: &[Cost], variables: &Variables, limits: &Limits) -> Result<u64, Error> {
    let mut sum = Sum {
        variables,
        page: u64::from(limits.page),
        ids: limits.ids as u64,
        out_of_range: false,
    };
    let total = sum.fields(costs);
    if total > limits.complexity && !sum.out_of_range {
        return Err(Error::LimitExceeded {
            what: "complexity",
            limit: limits.complexity,
        });
    }
    Ok(total)
}

struct Sum<'a> {
    variables: &'a Variables,
    page: u64,
    ids: u64,
    out_of_range: bool,
}

impl Sum<'_> {
    fn fields(&mut self, costs: &[Cost]) -> u64 {
        costs
            .iter()
            .fold(0, |sum, cost| sum.saturating_add(self.field(cost)))
    }

    /// The cost of `fields`, where each item of a page of `size` has its own objects. A page has one total.
    fn repeated(&mut self, fields: &[Cost], size: u64) -> u64 {
        fields.iter().fold(0, |sum, cost| {
            let times = match cost.count {
                Count::None => 1,
                _ => size,
            };
            sum.saturating_add(self.field(cost).saturating_mul(times))
        })
    }

    fn field(&mut self, cost: &Cost) -> u64 {
        let size = match &cost.count {
            Count::Page { first, last } => [first, last]
                .into_iter()
                .filter_map(|size| self.size(size.as_ref()?))
                .max()
                .unwrap_or(DEFAULT_PAGE),
            _ => 1,
        };
        let below = cost
            .alternatives
            .iter()
            .map(|fields| self.repeated(fields, size))
            .max()
            .unwrap_or_default();
        let each = below.saturating_add(1);
        let returned = match &cost.count {
            Count::None => 0,
            Count::One | Count::Page { .. } => each,
            Count::Ids(ids) => each.saturating_mul(self.length(ids)),
            Count::List(bound) => each.saturating_mul(bound.unwrap_or(self.ids)),
        };
        let arguments = cost.arguments.iter();
        let arguments: u64 = arguments
            .filter(|(value, _)| self.is_given(value))
            .map(|(_, weight)| weight)
            .sum();
        returned
            .saturating_add(cost.weight)
            .saturating_add(arguments)
    }

    fn is_given(&self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Variable(name) => {
                !matches!(self.variables.get(name), None | Some(ConstValue::Null))
            }
            _ => true,
        }
    }

    /// The requested page size, clamped to the allowed range. `None` for null and absent variables.
    fn size(&mut self, value: &Value) -> Option<u64> {
        let size = match value {
            Value::Number(size) => size.as_i64(),
            Value::Variable(name) => match self.variables.get(name)? {
                ConstValue::Number(size) => size.as_i64(),
                _ => None,
            },
            _ => None,
        }?;
        let clamped = u64::try_from(size).unwrap_or_default().clamp(1, self.page);
        self.out_of_range |= i64::try_from(clamped) != Ok(size);
        Some(clamped)
    }

    fn length(&self, value: &Value) -> u64 {
        let length = match value {
            Value::List(items) => items.len(),
            Value::Variable(name) => match self.variables.get(name) {
                Some(ConstValue::List(items)) => items.len(),
                _ => 1,
            },
            _ => 1,
        };
        length as u64
    }
}
