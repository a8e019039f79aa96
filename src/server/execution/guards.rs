//! Who may: what `@auth` in the schema's definitions requires is enforced here, before anything of a field runs.

use async_graphql::{SchemaEnv, ServerResult, Value, extensions::ResolveInfo};

use super::extension::Run;
use crate::{
    access::{self, Access},
    error::{Error, Result},
};

/// What has to hold for one field to show its value.
#[derive(Clone, Copy)]
pub(super) enum Requirement {
    None,
    /// Of a field at the root: a caller who may not use it gets an error.
    Root(Access),
    /// Of a field of a type: it is withheld from a caller who may not see it.
    Guarded(Access),
}

impl Requirement {
    /// What the definition of a field requires.
    pub(super) fn of(schema: &SchemaEnv, run: Option<&Run>, info: &ResolveInfo<'_>) -> Self {
        let access = || Access::of_field(&schema.registry, info.parent_type, info.name);
        if info.path_node.parent.is_none() {
            access().map_or(Self::None, Self::Root)
        } else if run.is_some_and(|run| run.operation.guarded.has(info.parent_type, info.name)) {
            access().map_or(Self::None, Self::Guarded)
        } else {
            Self::None
        }
    }

    /// Whether the caller may go on. Whose an object is, only its resolver knows: see [`Requirement::shown`].
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `FORBIDDEN` at the root; [`Error::Withheld`] elsewhere.
    pub(super) fn check(self, run: Option<&Run>) -> Result<()> {
        let permits = |access| match run {
            Some(run) => run.rights.permits(&run.caller, access),
            // Nobody is known to call.
            None => Err(Error::Unauthenticated),
        };
        match self {
            Self::None | Self::Guarded(Access::OwnerOrAdmin) => Ok(()),
            Self::Root(access) => permits(access),
            Self::Guarded(access) => permits(access).map_err(|_| Error::Withheld),
        }
    }

    /// What `resolving` comes to. A field that is for the owner of its object comes to a fault unless its resolver has
    /// asked who that is.
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
