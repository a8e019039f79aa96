//! Sign-in sessions and tokens: how a right begins, is renewed, and ends.

use axum::body::Body;
use diesel::prelude::*;
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use madang::db::{Conn, on, tables::refresh_tokens};
use serde_json::{Value, json};

use crate::support::{Client, JWT_SECRET, PASSWORD, TestApp};

const LOGIN: &str = "mutation($i: LoginInput!) { login(input: $i) { accessToken tokenType accessTokenExpiresAt refreshToken user { name email } } }";
const REFRESH: &str = "mutation($i: RefreshAccessTokenInput) { refreshAccessToken(input: $i) { accessToken refreshToken user { email } } }";
const SECRET: &[u8] = JWT_SECRET.as_bytes();

async fn refresh_with(client: &Client, token: &str) -> crate::support::Answer {
    client
        .run(REFRESH, json!({ "i": { "refreshToken": token } }))
        .await
}

async fn sign_in(app: &std::sync::Arc<TestApp>, name: &str) -> (Client, String) {
    let mut client = app.anonymous();
    let answer = client.log_in(name, PASSWORD).await;
    (client, answer.text("login.refreshToken"))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_logs_in_with_name_or_e_mail_address_in_any_case() {
    let app = TestApp::start().await;
    app.user("Ann").await;

    for name in ["Ann", "aNN", " ann ", "ann@example.org", "ANN@Example.org"] {
        let input = json!({ "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" });
        let answer = app.anonymous().run(LOGIN, json!({ "i": input })).await;

        let login = &answer.data()["login"];
        assert_eq!(login["tokenType"], "Bearer");
        assert_eq!(
            login["user"],
            json!({ "name": "Ann", "email": "Ann@example.org" }),
            "{name}"
        );
        assert!(login["refreshToken"].as_str().unwrap().len() >= 43);
        assert!(answer.header("set-cookie").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let app = TestApp::start().await;
    app.user("ann").await;

    let wrong = app.anonymous().log_in("ann", "wrong horse").await;
    let unknown = app.anonymous().log_in("nobody", "wrong horse").await;

    assert_eq!(
        (wrong.code(), wrong.status.as_u16()),
        ("UNAUTHENTICATED", 200)
    );
    assert_eq!(wrong.body, unknown.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_speak_the_language_of_the_caller() {
    let app = TestApp::start().await;
    let mut client = app.anonymous();
    client.language = Some("ko-KR, en;q=0.5");

    let answer = client.log_in("nobody", "wrong horse").await;

    assert_eq!(
        answer.errors()[0]["message"],
        "이름 또는 비밀번호가 올바르지 않습니다."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_carries_the_refresh_token_where_no_script_reads_it() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let mut browser = app.anonymous();

    let input = json!({ "nameOrEmail": "ann", "password": PASSWORD });
    let answer = browser.run(LOGIN, json!({ "i": input })).await;
    assert!(answer.data()["login"]["refreshToken"].is_null());
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    for part in [
        "madang_refresh=",
        "; HttpOnly",
        "; Path=/graphql",
        "; SameSite=Lax",
        "; Max-Age=2592000",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"));

    browser.cookie = cookie.split(';').next().map(str::to_owned);
    let renewed = browser
        .query("mutation { refreshAccessToken { accessToken refreshToken } }")
        .await;
    assert!(renewed.at("refreshAccessToken.refreshToken").is_null());
    let next = renewed
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .map(str::to_owned);
    assert_ne!(next, browser.cookie);

    browser.token = renewed
        .at("refreshAccessToken.accessToken")
        .as_str()
        .map(str::to_owned);
    browser.cookie = next;
    let out = browser.query("mutation { logout { success } }").await;
    assert_eq!(out.at("logout.success"), true);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(
        browser.query("{ viewer { name } }").await.code(),
        "TOKEN_INVALID"
    );
    browser.token = None;
    let gone = browser
        .query("mutation { refreshAccessToken { accessToken } }")
        .await;
    assert_eq!(gone.code(), "TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_https_the_cookie_is_secure() {
    let flags = [
        "--public-url",
        "https://forum.example.org",
        "--cookie-samesite",
        "none",
    ];
    let app = TestApp::with(&flags).await;
    app.user("ann").await;

    let input = json!({ "nameOrEmail": "ann", "password": PASSWORD });
    let answer = app.anonymous().run(LOGIN, json!({ "i": input })).await;

    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.contains("; Secure") && cookie.contains("; SameSite=None"),
        "{cookie}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_exchanged_for_its_successor() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let (client, token) = sign_in(&app, "ann").await;

    let renewed = refresh_with(&client, &token).await;

    assert_eq!(
        renewed.text("refreshAccessToken.user.email"),
        "ann@example.org"
    );
    assert_ne!(renewed.text("refreshAccessToken.refreshToken"), token);
    let mut next = app.anonymous();
    next.token = Some(renewed.text("refreshAccessToken.accessToken"));
    let sessions = next
        .query("{ viewer { signInSessions { isCurrent } } }")
        .await;
    // The account's first session, and this one.
    assert_eq!(
        sessions
            .at("viewer.signInSessions")
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_may_be_used_again_for_twenty_seconds() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let (client, token) = sign_in(&app, "ann").await;

    let one = refresh_with(&client, &token)
        .await
        .text("refreshAccessToken.refreshToken");
    app.advance(19);
    let two = refresh_with(&client, &token)
        .await
        .text("refreshAccessToken.refreshToken");

    assert_ne!(one, two);
    assert!(refresh_with(&client, &one).await.errors().is_empty());
    assert!(refresh_with(&client, &two).await.errors().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_comes_back_late_ends_its_session() {
    let app = TestApp::start().await;
    let first = app.user("ann").await;
    let (client, token) = sign_in(&app, "ann").await;
    let successor = refresh_with(&client, &token)
        .await
        .text("refreshAccessToken.refreshToken");

    app.advance(20);
    let reused = refresh_with(&client, &token).await;

    assert_eq!(reused.code(), "TOKEN_INVALID");
    assert_eq!(
        refresh_with(&client, &successor).await.code(),
        "TOKEN_INVALID"
    );
    assert_eq!(
        client.query("{ viewer { name } }").await.code(),
        "TOKEN_INVALID"
    );
    assert_eq!(
        first.query("{ viewer { name } }").await.at("viewer.name"),
        "ann"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_uses_of_one_refresh_token_at_once_all_get_a_successor() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let (client, token) = sign_in(&app, "ann").await;

    let uses = (0..10).map(|_| refresh_with(&client, &token));
    let answers = futures_util::future::join_all(uses).await;

    let mut successors: Vec<_> = answers
        .iter()
        .map(|a| a.text("refreshAccessToken.refreshToken"))
        .collect();
    successors.sort();
    successors.dedup();
    assert_eq!(successors.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_end_unused_and_in_the_end_anyway() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let day = 86_400;

    let (client, unused) = sign_in(&app, "ann").await;
    app.advance(30 * day);
    assert_eq!(refresh_with(&client, &unused).await.code(), "TOKEN_INVALID");

    let (client, mut token) = sign_in(&app, "ann").await;
    for _ in 0..3 {
        app.advance(29 * day);
        token = refresh_with(&client, &token)
            .await
            .text("refreshAccessToken.refreshToken");
    }
    app.advance(3 * day);
    assert_eq!(refresh_with(&client, &token).await.code(), "TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refresh_token_and_a_refused_one_differ() {
    let app = TestApp::start().await;
    let client = app.anonymous();

    assert_eq!(
        client
            .query("mutation { refreshAccessToken { accessToken } }")
            .await
            .code(),
        "UNAUTHENTICATED"
    );
    assert_eq!(refresh_with(&client, "").await.code(), "TOKEN_INVALID");
    assert_eq!(
        refresh_with(&client, "nonsense").await.code(),
        "TOKEN_INVALID"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_expire_and_log_in_does_not_mind() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;

    app.advance(15 * 60);

    let refused = ann.query("{ viewer { name } }").await;
    assert_eq!(
        (refused.code(), refused.status.as_u16()),
        ("TOKEN_EXPIRED", 401)
    );
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    let input = json!({ "nameOrEmail": "ann", "password": PASSWORD, "delivery": "BODY" });
    ann.run(LOGIN, json!({ "i": input })).await.data();
    let mixed = "mutation($i: LoginInput!) { login(input: $i) { accessToken } logoutEverywhere { success } }";
    assert_eq!(
        ann.run(mixed, json!({ "i": input })).await.code(),
        "TOKEN_EXPIRED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_foreign_tokens_are_refused() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let (_, refresh) = sign_in(&app, "ann").await;
    let issued = ann
        .query("mutation { issueSubscriptionToken { token } }")
        .await;
    let subscription = issued.text("issueSubscriptionToken.token");
    let good = ann.token.clone().unwrap();
    let claims = claims_of(&good);
    let signed = |change: &dyn Fn(&mut Value), secret: &[u8], algorithm: Algorithm| {
        let mut claims = claims.clone();
        change(&mut claims);
        encode(
            &Header::new(algorithm),
            &claims,
            &EncodingKey::from_secret(secret),
        )
        .unwrap()
    };
    let set =
        |key: &'static str, value: Value| move |claims: &mut Value| claims[key] = value.clone();
    let later = |seconds: i64| app.clock.now().seconds() + seconds;
    let critical = Header {
        crit: Some(vec!["exp".to_owned()]),
        ..Header::new(Algorithm::HS256)
    };
    let critical = encode(&critical, &claims, &EncodingKey::from_secret(SECRET)).unwrap();
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    parts[0] = base64("{\"alg\":\"none\",\"typ\":\"JWT\"}");
    let forged = [
        format!("{}.{}.", parts[0], parts[1]),
        parts.join("."),
        signed(
            &|_| {},
            b"another secret of thirty-two bytes",
            Algorithm::HS256,
        ),
        signed(&|_| {}, SECRET, Algorithm::HS384),
        signed(&set("typ", json!("refresh")), SECRET, Algorithm::HS256),
        signed(&set("aud", json!("somebody")), SECRET, Algorithm::HS256),
        signed(&set("iss", json!("somebody")), SECRET, Algorithm::HS256),
        signed(
            &set("sub", json!(app.id_of_nothing("user"))),
            SECRET,
            Algorithm::HS256,
        ),
        signed(
            &set("sid", json!(app.id_of_nothing("signin"))),
            SECRET,
            Algorithm::HS256,
        ),
        signed(&set("nbf", json!(later(120))), SECRET, Algorithm::HS256),
        signed(&set("iat", json!(later(120))), SECRET, Algorithm::HS256),
        critical,
        signed(
            &|claims| drop(claims.as_object_mut().unwrap().remove("exp")),
            SECRET,
            Algorithm::HS256,
        ),
        format!("{good}x"),
        refresh,
        subscription,
        "nonsense".to_owned(),
        String::new(),
    ];
    let mut client = app.anonymous();
    for token in forged {
        client.token = Some(token.clone());
        let answer = client.query("{ viewer { name } }").await;

        assert_eq!(
            (answer.code(), answer.status.as_u16()),
            ("TOKEN_INVALID", 401),
            "{token}"
        );
    }
    client.token = Some(signed(&|_| {}, SECRET, Algorithm::HS256));
    assert_eq!(
        client.query("{ viewer { name } }").await.at("viewer.name"),
        "ann",
        "the forger forges well"
    );
    for key in ["nbf", "iat"] {
        client.token = Some(signed(
            &set(key, json!(later(50))),
            SECRET,
            Algorithm::HS256,
        ));
        assert_eq!(
            client.query("{ viewer { name } }").await.at("viewer.name"),
            "ann",
            "clocks of servers differ a little"
        );
    }
    // The role in the token is for clients: the server goes by its own row.
    client.token = Some(signed(
        &set("role", json!("ADMIN")),
        SECRET,
        Algorithm::HS256,
    ));
    assert_eq!(
        client.query("{ viewer { role } }").await.at("viewer.role"),
        "USER"
    );
    let board = client
        .mutate("createBoard", crate::support::any_board(), "board { id }")
        .await;
    assert_eq!(board.code(), "FORBIDDEN");
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text)
}

fn claims_of(token: &str) -> Value {
    use base64::Engine;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(
        &base64::prelude::BASE64_URL_SAFE_NO_PAD
            .decode(payload)
            .unwrap(),
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_says_what_it_is() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;

    let claims = claims_of(ann.token.as_ref().unwrap());

    assert_eq!(claims["sub"], ann.id.as_str());
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["typ"]),
        (&json!("madang"), &json!("madang"), &json!("access"))
    );
    assert_eq!(claims["role"], "USER");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        900
    );
    assert!(claims["sid"].as_str().unwrap().starts_with("signin_") && claims["jti"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_ends_this_session_and_always_succeeds() {
    let app = TestApp::start().await;
    let here = app.user("ann").await;
    let there = here.again("ann").await;

    for _ in 0..2 {
        // The second time the bearer is not valid any more.
        assert_eq!(
            here.query("mutation { logout { success } }")
                .await
                .at("logout.success"),
            true
        );
    }

    assert_eq!(
        here.query("{ viewer { name } }").await.code(),
        "TOKEN_INVALID"
    );
    assert_eq!(
        there.query("{ viewer { name } }").await.at("viewer.name"),
        "ann"
    );
    assert_eq!(
        app.anonymous()
            .query("mutation { logout { success } }")
            .await
            .at("logout.success"),
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_everywhere_ends_all_sessions() {
    let app = TestApp::start().await;
    let here = app.user("ann").await;
    let (there, refresh) = sign_in(&app, "ann").await;

    here.query("mutation { logoutEverywhere { success } }")
        .await
        .data();

    for client in [&here, &there] {
        assert_eq!(
            client.query("{ viewer { name } }").await.code(),
            "TOKEN_INVALID"
        );
    }
    assert_eq!(refresh_with(&there, &refresh).await.code(), "TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_listed_and_signed_out() {
    let app = TestApp::start().await;
    let (here, ben) = (app.user("ann").await, app.user("ben").await);
    app.advance(1);
    let there = here.again("ann").await;

    let listed = here.query("{ viewer { signInSessions { id isCurrent ip createdAt lastUsedAt expiresAt userAgent } } }").await;
    let sessions = listed.data()["viewer"]["signInSessions"]
        .as_array()
        .unwrap();
    let current: Vec<_> = sessions
        .iter()
        .map(|s| s["isCurrent"].as_bool().unwrap())
        .collect();
    assert_eq!(current, [false, true]);
    assert_eq!(sessions[0]["ip"], "127.0.0.1");
    let other = json!({ "id": sessions[0]["id"] });

    let stranger = ben
        .mutate(
            "revokeSignInSession",
            other.clone(),
            "revokedSignInSessionId",
        )
        .await;
    assert_eq!(stranger.code(), "NOT_FOUND");
    let revoked = here
        .mutate(
            "revokeSignInSession",
            other.clone(),
            "revokedSignInSessionId",
        )
        .await;
    assert_eq!(
        revoked.at("revokeSignInSession.revokedSignInSessionId"),
        &other["id"]
    );
    assert_eq!(
        there.query("{ viewer { name } }").await.code(),
        "TOKEN_INVALID"
    );
    assert_eq!(
        here.mutate("revokeSignInSession", other, "revokedSignInSessionId")
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_ends_in_a_document_ends_for_the_fields_after_it() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;

    let answer = ann
        .query("mutation { logout { success } issueSubscriptionToken { token } }")
        .await;

    assert_eq!(answer.at("logout.success"), true);
    assert_eq!(
        (answer.code(), &answer.errors()[0]["path"]),
        ("UNAUTHENTICATED", &json!(["issueSubscriptionToken"]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn log_ins_are_limited_per_attempt() {
    let app = TestApp::with(&["--rate-limits", "on"]).await;
    app.insert_user("ann", madang::access::Role::User).await;

    for _ in 0..5 {
        assert_eq!(
            app.anonymous().log_in("ann", "wrong horse").await.code(),
            "UNAUTHENTICATED"
        );
    }
    let limited = app.anonymous().log_in("ANN", PASSWORD).await;
    assert_eq!(
        (limited.code(), limited.status.as_u16()),
        ("RATE_LIMITED", 200)
    );
    let retry_after = limited.errors()[0]["extensions"]["retryAfter"]
        .as_u64()
        .unwrap();
    assert!((1..=60).contains(&retry_after));

    let mut elsewhere = app.anonymous();
    elsewhere.address = "192.0.2.7";
    assert!(elsewhere.log_in("ann", PASSWORD).await.errors().is_empty());
    app.advance(61);
    assert!(
        app.anonymous()
            .log_in("ann", PASSWORD)
            .await
            .errors()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_are_attempts_too() {
    let app = TestApp::with(&["--rate-limits", "on"]).await;
    let attempt = r#"login(input: { nameOrEmail: "ann", password: "wrong horse" }) { tokenType }"#;
    let document: String = (0..8).map(|n| format!("a{n}: {attempt} ")).collect();

    let answer = app
        .anonymous()
        .query(&format!("mutation {{ {document} }}"))
        .await;

    let codes: Vec<_> = answer
        .errors()
        .iter()
        .map(|e| e["extensions"]["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes.iter().filter(|c| **c == "UNAUTHENTICATED").count(), 5);
    assert_eq!(codes.iter().filter(|c| **c == "RATE_LIMITED").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_and_an_address_of_one_account_answer_as_those_of_strangers() {
    let app = TestApp::with(&["--rate-limits", "on"]).await;
    app.insert_user("ann", madang::access::Role::User).await;
    let codes = async |names: [&str; 2]| {
        let mut codes = Vec::new();
        for n in 0..10 {
            let answer = app.anonymous().log_in(names[n % 2], "wrong horse").await;
            codes.push(answer.code().to_owned());
        }
        codes
    };

    let of_ann = codes(["ann", "ann@example.org"]).await;
    app.advance(61);

    assert_eq!(of_ann, codes(["ben", "ben@example.org"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_elsewhere_do_not_lock_the_owner_out() {
    let app = TestApp::with(&["--rate-limits", "on", "--limit-login-account", "3"]).await;
    app.insert_user("ann", madang::access::Role::User).await;
    let from = |address: &'static str| {
        let mut client = app.anonymous();
        client.address = address;
        client
    };
    let (home, elsewhere) = ("2001:db8:1:2::3", "192.0.2.1");
    from(home).log_in("ann", PASSWORD).await.data();
    for _ in 0..3 {
        from(elsewhere).log_in("ann", "wrong horse").await;
    }

    let refused = from(elsewhere).log_in("ann@example.org", PASSWORD).await;
    assert_eq!(refused.code(), "RATE_LIMITED");
    // Another address of the same network.
    from("2001:db8:1:2:ffff::")
        .log_in("ann", PASSWORD)
        .await
        .data();

    app.advance(91 * 86_400);
    for _ in 0..3 {
        from(elsewhere).log_in("ann", "wrong horse").await;
    }
    assert_eq!(
        from(home).log_in("ann", PASSWORD).await.code(),
        "RATE_LIMITED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_refreshed_ten_times_a_minute() {
    let app = TestApp::with(&["--rate-limits", "on"]).await;
    app.insert_user("ann", madang::access::Role::User).await;
    let (client, token) = sign_in(&app, "ann").await;
    let (_, other) = sign_in(&app, "ann").await;

    for _ in 0..10 {
        refresh_with(&client, &token).await.data();
    }

    assert_eq!(refresh_with(&client, &token).await.code(), "RATE_LIMITED");
    refresh_with(&client, &other).await.data();
    let unknown = refresh_with(&client, "nonsense").await;
    assert_eq!(unknown.code(), "TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_beyond_the_limit_ends_the_oldest() {
    let app = TestApp::with(&["--limit-sign-ins", "3"]).await;
    let ann = app.user("ann").await;
    let mut devices = vec![ann.clone()];
    for _ in 0..3 {
        devices.push(ann.again("ann").await);
    }

    let who = async |client: &Client| client.query("{ viewer { name } }").await;
    assert_eq!(who(&devices[0]).await.code(), "TOKEN_INVALID");
    for device in &devices[1..] {
        assert_eq!(who(device).await.at("viewer.name"), "ann");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_do_not_live_longer_when_the_time_is_set_back() {
    let app = TestApp::with(&["--access-token-ttl", "2h"]).await;
    let ann = app.user("ann").await;
    let code = async || ann.query("{ viewer { name } }").await;
    assert_eq!(code().await.at("viewer.name"), "ann");
    app.advance(3_700);
    // Issued an hour ago: not of the future.
    app.clock.set_by(-3_600);
    assert_eq!(code().await.at("viewer.name"), "ann");

    app.advance(3_600);
    assert_eq!(code().await.code(), "TOKEN_EXPIRED");
    app.clock.set_by(-7_200);

    assert_eq!(code().await.code(), "TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_an_account_have_limits_of_their_own() {
    let app = TestApp::with(&["--rate-limits", "on", "--limit-login-account", "8"]).await;
    for n in 0..20 {
        assert_eq!(
            app.anonymous()
                .log_in(&format!("user{n}"), "wrong horse")
                .await
                .code(),
            "UNAUTHENTICATED"
        );
    }
    assert_eq!(
        app.anonymous()
            .log_in("another", "wrong horse")
            .await
            .code(),
        "RATE_LIMITED"
    );

    let mut client = app.anonymous();
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
        client.address = address;
        client.log_in("ann", "wrong horse").await;
        client.log_in("ann", "wrong horse").await;
    }
    client.address = "192.0.2.5";
    assert_eq!(
        client.log_in("ann", "wrong horse").await.code(),
        "RATE_LIMITED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ups_are_limited_per_address() {
    let app = TestApp::with(&["--rate-limits", "on", "--limit-sign-up", "2"]).await;
    let sign_up = async |n: u32| {
        let input = json!({ "name": format!("u{n}"), "email": format!("u{n}@example.org"), "password": PASSWORD });
        app.anonymous().mutate("signUp", input, "user { id }").await
    };

    assert!(sign_up(1).await.errors().is_empty() && sign_up(2).await.errors().is_empty());
    assert_eq!(sign_up(3).await.code(), "RATE_LIMITED");
    app.advance(3_601);
    assert!(sign_up(4).await.errors().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_limited_per_user() {
    let app = TestApp::with(&["--rate-limits", "on", "--limit-writes", "3"]).await;
    let ann = app.user("ann").await;
    let rename = async || {
        ann.mutate(
            "updateUser",
            json!({ "id": ann.id, "name": "ann" }),
            "user { id }",
        )
        .await
    };

    for _ in 0..3 {
        rename().await.data();
    }

    assert_eq!(rename().await.code(), "RATE_LIMITED");
    ann.query("mutation { issueSubscriptionToken { token } }")
        .await
        .data();
    let input = json!({ "currentPassword": PASSWORD, "newPassword": "another horse battery" });
    ann.mutate("changePassword", input, "success").await.data();
    assert_eq!(
        ann.query("mutation { logout { success } }")
            .await
            .at("logout.success"),
        true
    );
    let mut ann = ann;
    ann.log_in("ann", "another horse battery").await.data();
    assert!(ann.query("{ viewer { id } }").await.errors().is_empty());
}

async fn kept_tokens(app: &TestApp) -> i64 {
    let count = |conn: &mut Conn| Ok(on!(conn, |c| refresh_tokens::table.count().get_result(c))?);
    app.app.db.read(count).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn used_refresh_tokens_are_forgotten_and_still_end_their_session() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let (client, first) = sign_in(&app, "ann").await;
    let mut token = first.clone();
    for _ in 0..50 {
        app.advance(60);
        token = refresh_with(&client, &token)
            .await
            .text("refreshAccessToken.refreshToken");
    }
    // Of ann's other session, of this one, and of the last use.
    assert_eq!(kept_tokens(&app).await, 3);

    let reused = refresh_with(&client, &first).await;

    assert_eq!(reused.code(), "TOKEN_INVALID");
    assert_eq!(refresh_with(&client, &token).await.code(), "TOKEN_INVALID");
    assert_eq!(kept_tokens(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_of_one_refresh_token_leave_few_others() {
    let app = TestApp::with(&["--limit-refresh", "1000"]).await;
    app.user("ann").await;
    let (client, token) = sign_in(&app, "ann").await;

    for _ in 0..60 {
        refresh_with(&client, &token).await.data();
    }
    assert_eq!(kept_tokens(&app).await, 1 + 1 + 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_refresh_token_ends_nothing() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let (client, token) = sign_in(&app, "ann").await;
    let (start, end) = token.split_at(token.len() - 4);
    let forged = [
        format!("{start}AAAA"),
        start.to_owned(),
        format!("{}{end}", &token[..22]),
        format!("{}B{}", &token[..30], &token[31..]),
        token[..64].to_owned(),
        format!("{token}AAAA"),
    ];

    for forged in forged.iter().filter(|forged| **forged != token) {
        let refused = refresh_with(&client, forged).await;
        assert_eq!(refused.code(), "TOKEN_INVALID", "{forged}");
    }

    refresh_with(&client, &token).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_where_no_cookie_is_read_claims_no_success() {
    let app = TestApp::start().await;
    app.user("ann").await;
    let (client, token) = sign_in(&app, "ann").await;
    let log_out = |origin: Option<&str>| {
        let request = Request::post("/graphql").header("content-type", "application/json");
        let request = match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        };
        request
            .header("cookie", format!("madang_refresh={token}"))
            .body(Body::from(r#"{"query":"mutation { logout { success } }"}"#))
            .unwrap()
    };
    let anonymous = app.anonymous();

    let foreign = anonymous.send(log_out(Some("https://evil.example"))).await;
    assert_eq!(foreign.code(), "BAD_REQUEST");
    assert!(
        client
            .query("{ viewer { name } }")
            .await
            .errors()
            .is_empty()
    );
    let own = anonymous.send(log_out(None)).await;
    assert_eq!(own.at("logout.success"), true);
    assert_eq!(
        client.query("{ viewer { name } }").await.code(),
        "TOKEN_INVALID"
    );
}
