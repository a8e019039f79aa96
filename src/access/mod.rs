//! Who calls, and what that allows: the one place that says who may.
//!
//! A field says who may once, in its directive `@auth`: the engine reads it from the schema and refuses. A root field is
//! an error for callers who may not use it; a guarded field of a type is withheld from them: null, without an error.

mod caller;
mod directive;
mod rights;

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    mysql::Mysql,
    serialize::{self, Output, ToSql},
    sql_types::SmallInt,
    sqlite::Sqlite,
};
use uuid::Uuid;

pub use caller::{Act, Caller, Client, SIGN_IN_OPERATIONS};
pub use directive::{Access, AccessSentences, auth, owner_checked};
pub use rights::{RIGHTS_CHANGED, Rights, rights_changed_of};

use crate::{
    error::{Error, Result},
    ids::{SignInId, UserId},
};

/// What a user may do in general.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum, AsExpression, FromSqlRow,
)]
#[diesel(sql_type = SmallInt)]
pub enum Role {
    /// Everybody who signed up.
    User,
    /// Who runs the place.
    Admin,
}

impl Role {
    const fn number(self) -> &'static i16 {
        match self {
            Self::User => &0,
            Self::Admin => &1,
        }
    }
}

impl ToSql<SmallInt, Sqlite> for Role {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        <i16 as ToSql<SmallInt, Sqlite>>::to_sql(self.number(), out)
    }
}

impl ToSql<SmallInt, Mysql> for Role {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <i16 as ToSql<SmallInt, Mysql>>::to_sql(self.number(), out)
    }
}

impl<DB: Backend> FromSql<SmallInt, DB> for Role
where
    i16: FromSql<SmallInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        match i16::from_sql(value)? {
            0 => Ok(Self::User),
            1 => Ok(Self::Admin),
            other => Err(format!("{other} is no role").into()),
        }
    }
}

/// Somebody who is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub id: UserId,
    pub role: Role,
    /// The sign-in session that the right to act comes from.
    pub session: SignInId,
}

impl SignedIn {
    /// Whether this is an admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// This user as an admin.
    ///
    /// # Errors
    /// `FORBIDDEN` for other users.
    pub fn admin(self) -> Result<Admin> {
        if self.is_admin() {
            Ok(Admin(self))
        } else {
            Err(Error::Forbidden)
        }
    }
}

/// An admin who is signed in. Whoever holds one has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin(SignedIn);

impl std::ops::Deref for Admin {
    type Target = SignedIn;

    fn deref(&self) -> &SignedIn {
        &self.0
    }
}

/// Whoever runs the program itself, and acts through its commands.
#[derive(Clone, Copy, Debug)]
pub struct Operator;

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    Anonymous,
    SignedIn(SignedIn),
}

impl Actor {
    /// The user who is signed in, if any.
    #[must_use]
    pub fn signed_in(&self) -> Option<&SignedIn> {
        match self {
            Self::Anonymous => None,
            Self::SignedIn(signed_in) => Some(signed_in),
        }
    }

    /// The user's id, if anybody is signed in.
    #[must_use]
    pub fn id(&self) -> Option<UserId> {
        self.signed_in().map(|s| s.id)
    }

    /// The user's id, or one that nobody has: for conditions of queries.
    #[must_use]
    pub fn id_or_nil(&self) -> UserId {
        self.id().unwrap_or_else(|| UserId::from_uuid(Uuid::nil()))
    }

    /// Whether this is an admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.signed_in().is_some_and(SignedIn::is_admin)
    }

    /// Whether this is an admin or the user `owner`.
    #[must_use]
    pub fn owns(&self, owner: Option<UserId>) -> bool {
        self.is_admin() || (owner.is_some() && self.id() == owner)
    }
}
