//! `@auth(requires: …)`: who may call an operation or see a field. The directive is the only place that says so; the
//! engine and the descriptions of the schema are made from it.

use std::{borrow::Cow, cell::Cell};

use async_graphql::{
    ContextSelectionSet, InputType, OutputType, Positioned, ServerResult, TypeDirective, Value,
    parser::types::Field,
    registry::{MetaField, MetaType, Registry},
};

use super::Actor;
use crate::error::{Error, Result};

/// Who may call an operation or see a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, async_graphql::Enum)]
pub enum Access {
    /// Everyone.
    Anyone,
    /// Anyone when PUBLIC_READ is on, else users who are signed in.
    Reader,
    /// Users who are signed in.
    SignedIn,
    /// Participants of the chat session; admins too, to read.
    Participant,
    /// The owner of the thing, or an admin.
    OwnerOrAdmin,
    /// Admins.
    Admin,
}

/// Who may call this operation or see this field.
#[TypeDirective(name = "auth", location = "FieldDefinition")]
pub fn auth(requires: Access) {}

impl Access {
    /// Checks the rule as far as it does not depend on an object. Ownership and participation are checked by stores and
    /// guards.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `FORBIDDEN`.
    pub fn permits(self, actor: &Actor, public_read: bool) -> Result<()> {
        let passes = match self {
            Self::Anyone => true,
            Self::Reader => public_read || actor.signed_in().is_some(),
            Self::SignedIn | Self::Participant | Self::OwnerOrAdmin => actor.signed_in().is_some(),
            Self::Admin => actor.is_admin(),
        };
        match (passes, actor) {
            (true, _) => Ok(()),
            (false, Actor::Anonymous) => Err(Error::Unauthenticated),
            (false, Actor::SignedIn(_)) => Err(Error::Forbidden),
        }
    }

    /// What the directive on a field requires, if the field has one.
    #[must_use]
    pub fn of(field: &MetaField) -> Option<Self> {
        let directives = &field.directive_invocations;
        let directive = directives.iter().find(|called| called.name == "auth")?;
        let requires = <Self as InputType>::parse(directive.args.get("requires").cloned());
        // What cannot be read lets nobody else in.
        Some(requires.unwrap_or(Self::Admin))
    }

    /// What the directive on the field `name` of the type `parent` requires, if the field has one.
    #[must_use]
    pub fn of_field(registry: &Registry, parent: &str, name: &str) -> Option<Self> {
        Self::of(registry.types.get(parent)?.field_by_name(name)?)
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Anyone => "Access: anyone.",
            Self::Reader => "Access: readers.",
            Self::SignedIn => "Access: signed in.",
            Self::Participant => "Access: participants, and admins to read.",
            Self::OwnerOrAdmin => "Access: the owner or an admin.",
            Self::Admin => "Access: admins.",
        }
    }
}

/// Register it with a schema after all other types. It appends to the description of each field with `@auth` a sentence
/// that says who may use it. No field has this type.
pub struct AccessSentences;

impl OutputType for AccessSentences {
    fn type_name() -> Cow<'static, str> {
        "AccessSentences".into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        for kind in registry.types.values_mut() {
            let MetaType::Object { fields, .. } = kind else {
                continue;
            };
            for field in fields.values_mut() {
                let Some(access) = Access::of(field) else {
                    continue;
                };
                let description = field.description.take().unwrap_or_default();
                let sentence = access.sentence();
                field.description = Some(format!("{description} {sentence}").trim().to_owned());
            }
        }
        Self::type_name().into_owned()
    }

    async fn resolve(
        &self,
        _: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        Ok(Value::Null)
    }
}

tokio::task_local! {
    /// Whether the running resolver has checked who owns the object.
    static OWNER_CHECK: Cell<bool>;
}

/// Notes that the running resolver has checked who owns the object.
pub(super) fn note_owner_check() {
    // Fails outside of `owner_checked`, where nobody needs to know.
    let _ = OWNER_CHECK.try_with(|is_checked| is_checked.set(true));
}

/// Runs `resolving`, and tells whether it checked who owns the object.
pub async fn owner_checked<T>(resolving: impl Future<Output = T>) -> (T, bool) {
    let resolving = async {
        let outcome = resolving.await;
        (outcome, OWNER_CHECK.with(Cell::get))
    };
    OWNER_CHECK.scope(Cell::new(false), resolving).await
}
