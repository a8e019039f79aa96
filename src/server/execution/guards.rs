//! Enforces `@auth`: what the schema's definitions require is checked here, before a field is resolved.

use async_graphql::{SchemaEnv, ServerResult, Value, extensions::ResolveInfo};

use super::extension::Run;
use crate::{
    access::{self, Access},
    error::{Error, Result},
};

/// The requirement for using a field.
#[derive(Clone, Copy)]
pub(super) enum Requirement {
    None,
    /// For a root field: callers without access get an error.
    Root(Access),
    /// For a field of a type: it is withheld from callers without access.
    Guarded(Access),
}

impl Requirement {
    /// The requirement in the definition of a field.
    pub(super) fn of(schema: &SchemaEnv, run: Option<&Run>, info: &ResolveInfo<'_>) -> Self {
        let access = || Access::of_field(&schema.registry, info.parent_type, info.name);
        if info.path_node.parent.is_none() {
            access().map_or(Self::None, Self::Root)
        } else if run.is_none_or(|run| run.operation.guarded.has(info.parent_type, info.name)) {
            access().map_or(Self::None, Self::Guarded)
        } else {
            Self::None
        }
    }

    /// Checks the requirement as far as it does not depend on the object. Who owns the object is checked by the field's
    /// guard: see [`Requirement::shown`].
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `FORBIDDEN` at the root; [`Error::Withheld`] elsewhere.
    pub(super) fn check(self, run: Option<&Run>) -> Result<()> {
        let permits = |access| match run {
            Some(run) => run.rights.permits(&run.caller, access),
            // There is no caller.
            None => Err(Error::Unauthenticated),
        };
        match self {
            Self::None | Self::Guarded(Access::OwnerOrAdmin) => Ok(()),
            Self::Root(access) => permits(access),
            Self::Guarded(access) => permits(access).map_err(|_| Error::Withheld),
        }
    }

    /// Resolves the field. A field for the owner of its object is an internal error unless a guard has checked who that
    /// is.
    pub(super) async fn shown(
        self,
        resolving: impl Future<Output = ServerResult<Option<Value>>>,
    ) -> Result<ServerResult<Option<Value>>> {
        let Self::Guarded(Access::OwnerOrAdmin | Access::Participant) = self else {
            return Ok(resolving.await);
        };
        match access::owner_checked(resolving).await {
            (outcome @ Err(_), _) | (outcome, true) => Ok(outcome),
            (Ok(_), false) => Err(Error::internal(
                "a field that is for the owner of its object has no guard that asks who that is",
            )),
        }
    }
}
