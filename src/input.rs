//! Reads inputs, and reports all broken rules at once.

use async_graphql::{ID, InputType, MaybeUndefined};

use crate::{
    error::{Error, Result, Rule, Violation},
    ids::{Id, Kind},
    text::Prefix,
};

/// Reads the id in the argument or input field `field`.
///
/// # Errors
/// `INVALID` for an id of another kind.
pub fn id<K: Kind>(field: &str, id: &ID) -> Result<Id<K>> {
    Id::parse(id).map_err(|rule| Error::invalid(field, rule))
}

/// Reads a search for the beginning of a name.
///
/// # Errors
/// `INVALID` for more than 256 characters.
pub fn search(search: Option<String>) -> Result<Option<Prefix>> {
    let prefix = search.map(|search| Prefix::parse(&search)).transpose();
    prefix.map_err(|rule| Error::invalid("search", rule))
}

/// Collects broken rules, so that the caller is told all of them at once. Methods that read a part of an input return
/// `None` after noting a broken rule.
#[derive(Debug, Default)]
pub struct Violations {
    noted: Vec<Violation>,
    /// An error of the input as a whole, which is reported instead.
    refused: Option<Error>,
}

impl Violations {
    /// Reads the parts of an input together.
    ///
    /// # Errors
    /// `INVALID` with all broken rules.
    pub fn check<P: Parts>(read: impl FnOnce(&mut Self) -> P) -> Result<P::Whole> {
        let mut violations = Self::default();
        let whole = read(&mut violations).whole();
        match (violations.refused, whole) {
            (Some(error), _) => Err(error),
            (None, Some(whole)) if violations.noted.is_empty() => Ok(whole),
            (None, _) => Err(Error::Invalid(violations.noted)),
        }
    }

    /// Notes the rule that `parsed` broke, if any, for `field`.
    pub fn field<T>(&mut self, field: &str, parsed: Result<T, Rule>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(rule) => {
                self.push(rule.at(field));
                None
            }
        }
    }

    /// Reads an id.
    pub fn id<K: Kind>(&mut self, field: &str, id: &ID) -> Option<Id<K>> {
        self.field(field, Id::parse(id))
    }

    /// Reads a text that may be absent or null.
    pub fn optional<T>(
        &mut self,
        field: &str,
        given: Option<impl AsRef<str>>,
        parse: impl FnOnce(&str) -> Result<T, Rule>,
    ) -> Option<Option<T>> {
        let parsed = given.map(|text| parse(text.as_ref()));
        self.field(field, parsed.transpose())
    }

    /// Reads a change. Absent means no change; null breaks [`Rule::Null`].
    pub fn change<V: InputType>(&mut self, field: &str, given: MaybeUndefined<V>) -> Option<V> {
        match given {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => self.field(field, Err(Rule::Null)),
            MaybeUndefined::Value(value) => Some(value),
        }
    }

    /// Reads a change of a text, as [`Violations::change`].
    pub fn new_text<T>(
        &mut self,
        field: &str,
        given: MaybeUndefined<String>,
        parse: impl FnOnce(&str) -> Result<T, Rule>,
    ) -> Option<T> {
        let text = self.change(field, given)?;
        self.field(field, parse(&text))
    }

    /// Reads a list of ids. Broken rules are reported at `field.N`; more than `most` ids are `LIMIT_EXCEEDED`.
    pub fn ids<K: Kind>(&mut self, field: &str, given: Option<Vec<ID>>, most: usize) -> Vec<Id<K>> {
        let given = given.unwrap_or_default();
        if given.len() > most {
            self.refused = Some(Error::LimitExceeded {
                what: "ids",
                limit: most as u64,
            });
            return Vec::new();
        }
        let ids = given.iter().enumerate();
        ids.filter_map(|(n, id)| self.id(&format!("{field}.{n}"), id))
            .collect()
    }

    /// Notes `violation`.
    pub fn push(&mut self, violation: Violation) {
        self.noted.push(violation);
    }

    /// # Errors
    /// `INVALID` with all that was noted.
    pub fn invalid(self) -> Result<()> {
        if self.noted.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.noted))
        }
    }

    /// # Errors
    /// `CONFLICT` with all that was noted.
    pub fn conflict(self) -> Result<()> {
        if self.noted.is_empty() {
            Ok(())
        } else {
            Err(Error::Conflict(self.noted))
        }
    }
}

/// Parts of an input, each `None` if it broke a rule.
pub trait Parts {
    type Whole;
    /// All parts, if none is `None`.
    fn whole(self) -> Option<Self::Whole>;
}

impl<A> Parts for Option<A> {
    type Whole = A;

    fn whole(self) -> Option<A> {
        self
    }
}

impl<A, B> Parts for (Option<A>, Option<B>) {
    type Whole = (A, B);

    fn whole(self) -> Option<(A, B)> {
        self.0.zip(self.1)
    }
}

impl<A, B, C> Parts for (Option<A>, Option<B>, Option<C>) {
    type Whole = (A, B, C);

    fn whole(self) -> Option<(A, B, C)> {
        Some((self.0?, self.1?, self.2?))
    }
}
