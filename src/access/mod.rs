//! Access: who calls, and what callers may do. The only place that decides this.
//!
//! Each field declares its access once, in its directive `@auth`, which the engine reads from the schema and enforces.
//! A root field that the caller may not use is an error. A guarded field of a type is withheld: null, without an error.

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

pub use caller::{Act, Caller, Client, SIGN_IN_OPERATIONS, neighbourhood};
pub use directive::{Access, AccessSentences, auth, owner_checked};
pub use rights::{RIGHTS_CHANGED, Rights, lock_account, lock_user, rights_changed_of};

use crate::{
    error::{Error, Result},
    ids::{SignInId, UserId},
};

/// The role of a user.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum, AsExpression, FromSqlRow,
)]
#[diesel(sql_type = SmallInt)]
pub enum Role {
    /// A regular user.
    User,
    /// An administrator.
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

/// A user who is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedIn {
    pub id: UserId,
    pub role: Role,
    /// The sign-in session that the access token belongs to.
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

/// An admin who is signed in. A value of this type is proof of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admin(SignedIn);

impl std::ops::Deref for Admin {
    type Target = SignedIn;

    fn deref(&self) -> &SignedIn {
        &self.0
    }
}

/// The person who runs the program, and acts through its commands.
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

    /// The user's id, or an id that no user has: for conditions in queries.
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
