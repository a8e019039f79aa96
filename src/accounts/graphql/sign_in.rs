//! Signing up, in and out.

use std::time::Duration;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use crate::{
    access::{Access, Actor, auth},
    accounts::{
        Email, Name, User,
        passwords::Password,
        store::{
            refresh, sessions,
            sign_in::{self, Granted},
            users::{self, NewUser},
        },
        tokens,
    },
    clock::Timestamp,
    context::ContextExt,
    error::{Error, Result},
    input::{self, Violations},
};

/// The input of `signUp`.
#[derive(InputObject)]
struct SignUpInput {
    /// A letter, then letters, digits and underscores, 1 to 64 characters; unique in any case.
    name: String,
    /// A valid address of at most 256 characters; unique in any case.
    email: String,
    /// 8 to 128 characters, not a common one.
    password: String,
}

/// The result of `signUp`.
#[derive(SimpleObject)]
struct SignUpPayload {
    /// The new user.
    user: User,
}

/// Where the refresh token goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
enum TokenDelivery {
    /// In an HttpOnly cookie for `/graphql`, as browsers need it.
    Cookie,
    /// In the payload.
    Body,
}

/// The input of `login`.
#[derive(InputObject)]
struct LoginInput {
    /// The user's name or e-mail address, in any case.
    name_or_email: String,
    /// The password.
    password: String,
    /// Where the refresh token goes.
    #[graphql(default_with = "TokenDelivery::Cookie")]
    delivery: TokenDelivery,
}

/// The result of `login` and `refreshAccessToken`.
#[derive(SimpleObject)]
struct LoginPayload {
    /// Send it in the header `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    /// When the access token expires.
    access_token_expires_at: Timestamp,
    /// Good for one use. Null when it was set as a cookie.
    refresh_token: Option<String>,
    /// The user who is signed in now.
    user: User,
}

/// The input of `refreshAccessToken`.
#[derive(InputObject)]
struct RefreshAccessTokenInput {
    /// The refresh token. Without it, the cookie is used. The new one is delivered in the same way.
    refresh_token: Option<String>,
}

/// The result of `logout` and `logoutEverywhere`.
#[derive(SimpleObject)]
struct LogoutPayload {
    /// Always true.
    success: bool,
}

/// The input of `revokeSignInSession`.
#[derive(InputObject)]
struct RevokeSignInSessionInput {
    /// The session to end.
    id: ID,
}

/// The result of `revokeSignInSession`.
#[derive(SimpleObject)]
struct RevokeSignInSessionPayload {
    /// The id of the ended session.
    revoked_sign_in_session_id: ID,
}

/// A token for the `connection_init` of one WebSocket.
#[derive(SimpleObject)]
struct SubscriptionToken {
    /// Send it in the payload of `connection_init` as `{ "token": … }`. Good for one use.
    token: String,
    /// When the token expires, ten seconds after it was issued.
    expires_at: Timestamp,
}

/// Signing up, in and out.
#[derive(Default)]
pub struct SignInMutation;

#[Object]
impl SignInMutation {
    /// Creates an account. Log in with it afterwards.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn sign_up(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account to create.")] input: SignUpInput,
    ) -> Result<Option<SignUpPayload>> {
        let (app, caller) = (ctx.app(), ctx.caller());
        let (name, email, password) = Violations::check(|v| {
            let password = Password::parse(input.password, &input.name, &input.email);
            (
                v.field("name", Name::parse(&input.name)),
                v.field("email", Email::parse(&input.email)),
                v.field("password", password),
            )
        })?;
        let new = NewUser {
            name,
            email,
            password,
        };
        // Only well-formed attempts count, so that typing errors lock nobody out.
        let user = users::sign_up(app, &ctx.act(ctx.actor()), new).await?;
        caller.proved_to_be(user.id);
        Ok(Some(SignUpPayload { user }))
    }

    /// Signs in with a name or an e-mail address and the password.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Your name or e-mail address, and your password.")] input: LoginInput,
    ) -> Result<Option<LoginPayload>> {
        refuse_cookie_over_socket(ctx, input.delivery)?;
        let act = ctx.act(ctx.actor());
        let granted =
            sign_in::log_in(ctx.app(), &act, &input.name_or_email, input.password).await?;
        Ok(Some(deliver(ctx, granted, input.delivery)))
    }

    /// Exchanges the refresh token from the cookie or the input for a new access token and a new refresh token.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn refresh_access_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The refresh token, if it is not in the cookie.")] input: Option<
            RefreshAccessTokenInput,
        >,
    ) -> Result<Option<LoginPayload>> {
        let given = input.and_then(|input| input.refresh_token);
        let (token, delivery) = match (given, &ctx.caller().refresh_cookie) {
            (Some(token), _) => (token, TokenDelivery::Body),
            (None, Some(cookie)) => (cookie.clone(), TokenDelivery::Cookie),
            (None, None) => return Err(Error::Unauthenticated),
        };
        refuse_cookie_over_socket(ctx, delivery)?;
        let granted = refresh::refresh(ctx.app(), &token).await?;
        Ok(Some(deliver(ctx, granted, delivery)))
    }

    /// Ends the sign-in session of the access token, and that of the refresh cookie. Succeeds when there is none, except
    /// where cookies are not read: from an origin that is not allowed, and over a WebSocket.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn logout(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let (app, caller) = (ctx.app(), ctx.caller());
        if let Actor::SignedIn(actor) = ctx.actor() {
            sessions::log_out(app, &ctx.act(actor)).await?;
        } else if !caller.can_set_cookie {
            return Err(Error::bad_request(
                "No cookie is read here, so nothing was ended: send the access token, or call over HTTP from an allowed origin.",
                "여기서는 쿠키를 읽지 않아 아무 세션도 끝나지 않았습니다. 액세스 토큰을 보내거나, 허용된 출처에서 HTTP로 요청해 주세요.",
            ));
        }
        if let Some(token) = &caller.refresh_cookie {
            sessions::end_by_refresh_token(app, token).await?;
            caller.set_cookie(tokens::refresh_cookie(&app.config, "", Duration::ZERO));
        }
        Ok(Some(LogoutPayload { success: true }))
    }

    /// Ends all your sign-in sessions, including this one.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn logout_everywhere(&self, ctx: &Context<'_>) -> Result<Option<LogoutPayload>> {
        let (app, caller) = (ctx.app(), ctx.caller());
        sessions::log_out_everywhere(app, &ctx.act(ctx.signed_in()?)).await?;
        if caller.refresh_cookie.is_some() {
            caller.set_cookie(tokens::refresh_cookie(&app.config, "", Duration::ZERO));
        }
        Ok(Some(LogoutPayload { success: true }))
    }

    /// Ends a sign-in session: signs a device out.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn revoke_sign_in_session(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The session to end.")] input: RevokeSignInSessionInput,
    ) -> Result<Option<RevokeSignInSessionPayload>> {
        let id = input::id("id", &input.id)?;
        sessions::revoke(ctx.app(), &ctx.act(ctx.signed_in()?), id).await?;
        Ok(Some(RevokeSignInSessionPayload {
            revoked_sign_in_session_id: id.into(),
        }))
    }

    /// Issues a token that opens one WebSocket, so that the access token need not be sent there.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn issue_subscription_token(
        &self,
        ctx: &Context<'_>,
    ) -> Result<Option<SubscriptionToken>> {
        let (token, expires_at) =
            sessions::issue_subscription_token(ctx.app(), &ctx.signed_in()?).await?;
        Ok(Some(SubscriptionToken { token, expires_at }))
    }
}

fn refuse_cookie_over_socket(ctx: &Context<'_>, delivery: TokenDelivery) -> Result<()> {
    if delivery == TokenDelivery::Cookie && !ctx.caller().can_set_cookie {
        return Err(Error::bad_request(
            "No cookie can be set here: ask for delivery BODY, or call over HTTP from an allowed origin.",
            "여기서는 쿠키를 설정할 수 없습니다. delivery를 BODY로 하거나, 허용된 출처에서 HTTP로 요청해 주세요.",
        ));
    }
    Ok(())
}

fn deliver(ctx: &Context<'_>, granted: Granted, delivery: TokenDelivery) -> LoginPayload {
    let caller = ctx.caller();
    caller.proved_to_be(granted.user.id);
    let refresh_token = match delivery {
        TokenDelivery::Body => Some(granted.refresh_token),
        TokenDelivery::Cookie => {
            let config = &ctx.app().config;
            caller.set_cookie(tokens::refresh_cookie(
                config,
                &granted.refresh_token,
                granted.refresh_lifetime,
            ));
            None
        }
    };
    LoginPayload {
        access_token: granted.access.text,
        token_type: "Bearer".to_owned(),
        access_token_expires_at: granted.access.expires_at,
        refresh_token,
        user: granted.user,
    }
}
