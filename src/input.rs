//! Reading what clients hand in, so that they learn of all broken rules at once.

use async_graphql::{ID, InputType, MaybeUndefined};

use crate::{
    error::{Error, Result, Rule, Violation},
    ids::{Id, Kind},
    text,
};

/// Reads the id in the argument or input field `field`.
///
/// # Errors
/// `INVALID` for an id of another kind.
pub fn id<K: Kind>(field: &str, id: &ID) -> Result<Id<K>> {
    Id::parse(id).map_err(|rule| Error::invalid(field, rule))
}

/// Reads the beginning of a name that is searched for.
///
/// # Errors
/// `INVALID` for more than 256 characters.
pub fn search(search: Option<String>) -> Result<Option<String>> {
    let prefix = search.map(|search| text::prefix(&search)).transpose();
    prefix.map_err(|rule| Error::invalid("search", rule))
}

/// Collects broken rules, so that a caller learns of all of them at once.
#[derive(Debug, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Notes the rule that `parsed` broke, if any, for `field`.
    pub fn field<T>(&mut self, field: &str, parsed: Result<T, Rule>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(rule) => {
                self.0.push(rule.at(field));
                None
            }
        }
    }

    /// Notes the rule that a change breaks, if any: absent changes nothing, null is [`Rule::Null`].
    pub fn change<V, T>(
        &mut self,
        field: &str,
        given: MaybeUndefined<V>,
        parse: impl FnOnce(V) -> Result<T, Rule>,
    ) -> Option<T>
    where
        V: InputType,
    {
        match given {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => self.field(field, Err(Rule::Null)),
            MaybeUndefined::Value(value) => self.field(field, parse(value)),
        }
    }

    /// Notes the ids of a list that are none, at `field.N`.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` for more than `most`.
    pub fn ids<K: Kind>(
        &mut self,
        field: &str,
        given: Option<Vec<ID>>,
        most: usize,
    ) -> Result<Vec<Id<K>>> {
        let given = given.unwrap_or_default();
        if given.len() > most {
            return Err(Error::LimitExceeded {
                what: "ids",
                limit: most as u64,
            });
        }
        let mut ids = Vec::with_capacity(given.len());
        for (n, id) in given.iter().enumerate() {
            ids.extend(self.field(&format!("{field}.{n}"), Id::parse(id)));
        }
        Ok(ids)
    }

    /// The values, which are there unless something was noted.
    ///
    /// # Errors
    /// `INVALID` with all that was noted.
    pub fn finish<T>(self, values: Option<T>) -> Result<T> {
        match values {
            Some(values) if self.0.is_empty() => Ok(values),
            _ => Err(Error::Invalid(self.0)),
        }
    }

    /// Notes `violation`.
    pub fn push(&mut self, violation: Violation) {
        self.0.push(violation);
    }

    /// # Errors
    /// `INVALID` with all that was noted.
    pub fn invalid(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.0))
        }
    }

    /// # Errors
    /// `CONFLICT` with all that was noted.
    pub fn conflict(self) -> Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Conflict(self.0))
        }
    }
}
