//! Accounts in the schema: users and their administration here, signing in and out in `sign_in`.

mod sign_in;
mod user;

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

pub use sign_in::SignInMutation;

use super::{
    BanReason, Email, Name, User,
    passwords::Password,
    store::{
        page::{UserFilter, UserList},
        users::{self, Ban, UserById, UserChanges},
    },
};
use crate::{
    access::{Access, Role, auth},
    connection::{Connection, PageArgs, SEARCHING, cost},
    context::{ContextExt, Listed},
    error::Result,
    input::{self, Violations},
};

/// Queries about users.
#[derive(Default)]
pub struct UserQuery;

#[Object]
impl UserQuery {
    /// The user who is signed in; null if nobody is.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        match ctx.actor().id() {
            Some(id) => ctx.load::<UserById>(id).await,
            None => Ok(None),
        }
    }

    /// The user with this id.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user's id.")] id: ID,
    ) -> Result<Option<User>> {
        users::find(ctx.app(), input::id("id", &id)?)
            .await
            .map(Some)
    }

    /// The user with this name, in any case.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn user_by_name(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The whole name.")] name: String,
    ) -> Result<Option<User>> {
        users::find_by_name(ctx.app(), &name).await.map(Some)
    }

    /// Users by name.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the arguments of the schema"
    )]
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Returns items whose name begins with this, in any case.",
            directive = cost::apply(SEARCHING.to_owned())
        )]
        search: Option<String>,
        #[graphql(desc = "Returns users with this role. For admins.")] role: Option<Role>,
        #[graphql(desc = "Returns users who are banned, or who are not. For admins.")]
        is_banned: Option<bool>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<User>> {
        let page = PageArgs::new(first, after, last, before);
        let filter = UserFilter {
            name_prefix: input::search(search)?,
            role,
            is_banned,
        };
        let list = UserList::new(&ctx.signed_in()?, filter)?;
        ctx.list(list, page).await
    }
}

/// The input of `updateUser`. Fields that are left out stay as they are.
#[derive(InputObject)]
struct UpdateUserInput {
    /// The user to change.
    id: ID,
    /// A letter, then letters, digits and underscores, 1 to 64 characters; unique in any case.
    name: MaybeUndefined<String>,
    /// A valid address of at most 256 characters; unique in any case. You can change only your own.
    email: MaybeUndefined<String>,
    /// Your current password. Required to change your e-mail address.
    current_password: Option<String>,
}

/// The result of `updateUser`.
#[derive(SimpleObject)]
struct UpdateUserPayload {
    /// The changed user.
    user: User,
}

/// The input of `deleteUser`.
#[derive(InputObject)]
struct DeleteUserInput {
    /// The user to delete.
    id: ID,
    /// Your current password. Required to delete your own account.
    current_password: Option<String>,
}

/// The result of `deleteUser`.
#[derive(SimpleObject)]
struct DeleteUserPayload {
    /// The id of the deleted user.
    deleted_user_id: ID,
}

/// The input of `changePassword`.
#[derive(InputObject)]
struct ChangePasswordInput {
    /// The current password.
    current_password: String,
    /// The new password: 8 to 128 characters, not a common one.
    new_password: String,
}

/// The result of `changePassword`.
#[derive(SimpleObject)]
struct ChangePasswordPayload {
    /// Always true.
    success: bool,
}

/// The input of `banUser`.
#[derive(InputObject)]
struct BanUserInput {
    /// The user to ban.
    id: ID,
    /// What the user is told, at most 512 characters.
    reason: Option<String>,
}

/// The result of `banUser`.
#[derive(SimpleObject)]
struct BanUserPayload {
    /// The user, banned.
    user: User,
}

/// The input of `unbanUser`.
#[derive(InputObject)]
struct UnbanUserInput {
    /// The user to unban.
    id: ID,
}

/// The result of `unbanUser`.
#[derive(SimpleObject)]
struct UnbanUserPayload {
    /// The user, no longer banned.
    user: User,
}

/// The input of `setUserRole`.
#[derive(InputObject)]
struct SetUserRoleInput {
    /// The user to promote or demote.
    id: ID,
    /// The role from now on.
    role: Role,
}

/// The result of `setUserRole`.
#[derive(SimpleObject)]
struct SetUserRolePayload {
    /// The user in the new role.
    user: User,
}

/// Changes of accounts.
#[derive(Default)]
pub struct UserMutation;

#[Object]
impl UserMutation {
    /// Changes a user. An admin can change another user's name, but not the e-mail address.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user and the changes.")] input: UpdateUserInput,
    ) -> Result<Option<UpdateUserPayload>> {
        let (id, changes) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let changes = UserChanges {
                name: v.new_text("name", input.name, Name::parse),
                email: v.new_text("email", input.email, Email::parse),
                current_password: input.current_password,
            };
            (id, Some(changes))
        })?;
        let user = users::update(ctx.app(), &ctx.act(ctx.signed_in()?), id, changes).await?;
        Ok(Some(UpdateUserPayload { user }))
    }

    /// Deletes an account. Its posts and comments stay, without an author.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user to delete.")] input: DeleteUserInput,
    ) -> Result<Option<DeleteUserPayload>> {
        let id = input::id("id", &input.id)?;
        users::delete(
            ctx.app(),
            &ctx.act(ctx.signed_in()?),
            id,
            input.current_password,
        )
        .await?;
        Ok(Some(DeleteUserPayload {
            deleted_user_id: id.into(),
        }))
    }

    /// Changes your password and ends all your other sign-in sessions.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn change_password(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The current and the new password.")] input: ChangePasswordInput,
    ) -> Result<Option<ChangePasswordPayload>> {
        let (app, actor) = (ctx.app(), ctx.signed_in()?);
        let user = users::find(app, actor.id).await?;
        let new = Violations::check(|v| {
            let new = Password::parse(input.new_password, &user.name.text, &user.email.text);
            v.field("newPassword", new)
        })?;
        users::change_password(app, &ctx.act(actor), input.current_password, new).await?;
        Ok(Some(ChangePasswordPayload { success: true }))
    }

    /// Bans a user, who cannot sign in or act until the ban is lifted.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn ban_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user to ban, and the reason.")] input: BanUserInput,
    ) -> Result<Option<BanUserPayload>> {
        let (id, reason) = Violations::check(|v| {
            (
                v.id("id", &input.id),
                v.optional("reason", input.reason, BanReason::parse),
            )
        })?;
        let user =
            users::set_ban(ctx.app(), &ctx.act(ctx.admin()?), id, Some(Ban { reason })).await?;
        Ok(Some(BanUserPayload { user }))
    }

    /// Lifts a ban.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn unban_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user to unban.")] input: UnbanUserInput,
    ) -> Result<Option<UnbanUserPayload>> {
        let id = input::id("id", &input.id)?;
        let user = users::set_ban(ctx.app(), &ctx.act(ctx.admin()?), id, None).await?;
        Ok(Some(UnbanUserPayload { user }))
    }

    /// Makes a user an admin, or a regular user. The last admin cannot be demoted.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn set_user_role(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user and the new role.")] input: SetUserRoleInput,
    ) -> Result<Option<SetUserRolePayload>> {
        let id = input::id("id", &input.id)?;
        let act = ctx.act(ctx.admin()?);
        let user = users::set_role(ctx.app(), &act, id, input.role).await?;
        Ok(Some(SetUserRolePayload { user }))
    }
}
