//! Users: signing up, being found, changing, leaving; roles and bans.

use madang::access::Role;
use serde_json::json;

use crate::support::{PASSWORD, TestApp};

fn somebody() -> serde_json::Value {
    json!({ "name": "Hong", "email": "hong@example.org", "password": PASSWORD })
}

fn pairs(violations: &[(&str, &str)]) -> Vec<(String, String)> {
    violations
        .iter()
        .map(|(f, c)| ((*f).to_owned(), (*c).to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_up_sees_the_account_as_its_owner() {
    let app = TestApp::start().await;

    let answer = app
        .anonymous()
        .mutate(
            "signUp",
            somebody(),
            "user { id name email role joinedAt isBanned }",
        )
        .await;

    let user = &answer.data()["signUp"]["user"];
    assert_eq!(user["name"], "Hong");
    assert_eq!(user["email"], "hong@example.org");
    assert_eq!(user["role"], "USER");
    assert!(user["id"].as_str().unwrap().starts_with("user_"));
    assert!(user["isBanned"].is_null());
    assert_eq!(
        answer.body["extensions"]["withheld"],
        json!(["User.isBanned"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_sign_up_is_told_at_once() {
    let app = TestApp::start().await;
    let before = app.rows().await;

    let input = json!({ "name": "1x", "email": "nowhere", "password": "short" });
    let answer = app.anonymous().mutate("signUp", input, "user { id }").await;

    assert_eq!(answer.code(), "INVALID");
    assert_eq!(
        answer.violations(),
        pairs(&[
            ("name", "FORMAT"),
            ("email", "FORMAT"),
            ("password", "TOO_SHORT")
        ])
    );
    assert_eq!(answer.errors()[0]["path"], json!(["signUp"]));
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_another_case_or_form_is_taken() {
    let app = TestApp::start().await;
    app.insert_user("마당쇠", Role::User).await;
    app.insert_user("Ann", Role::User).await;

    // Decomposed, as some systems type it; upper case; and somebody's e-mail address in capitals.
    for (name, email, taken) in [
        (
            "\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}\u{1109}\u{116c}",
            "a@example.org",
            vec!["name"],
        ),
        ("aNN", "b@example.org", vec!["name"]),
        ("Bob", "ANN@EXAMPLE.ORG", vec!["email"]),
        ("ANN", "ann@example.org", vec!["name", "email"]),
    ] {
        let input = json!({ "name": name, "email": email, "password": PASSWORD });
        let answer = app.anonymous().mutate("signUp", input, "user { id }").await;

        assert_eq!(answer.code(), "CONFLICT", "{name}");
        let fields: Vec<_> = answer
            .violations()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, taken);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_want_one_name_at_once_one_gets_it() {
    let app = TestApp::start().await;
    let attempts = (0..20).map(|n| {
        let client = app.anonymous();
        let name = if n % 2 == 0 { "Wanted" } else { "wANTED" };
        let input =
            json!({ "name": name, "email": format!("w{n}@example.org"), "password": PASSWORD });
        async move { client.mutate("signUp", input, "user { id }").await }
    });

    let answers = futures_util::future::join_all(attempts).await;

    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.errors().is_empty());
    assert_eq!(made.len(), 1);
    assert!(
        refused
            .iter()
            .all(|a| a.code() == "CONFLICT" && a.violation().0 == "name"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_viewer_is_who_is_signed_in() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;

    assert!(app.anonymous().query("{ viewer { name } }").await.data()["viewer"].is_null());
    assert_eq!(
        ann.query("{ viewer { name email role } }").await.data()["viewer"]["email"],
        "ann@example.org"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_by_name_in_any_case_and_listed_by_name() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for name in ["Zoe", "가온", "bob", "Bea"] {
        app.insert_user(name, Role::User).await;
    }

    let found = ann
        .query(r#"{ userByName(name: " BOB ") { name email } }"#)
        .await;
    assert_eq!(
        found.data()["userByName"],
        json!({ "name": "bob", "email": null })
    );

    let all = ann
        .query("{ users { nodes { name } pageInfo { hasNextPage hasPreviousPage } } }")
        .await;
    assert_eq!(
        all.data()["users"],
        json!({
            "nodes": [{ "name": "ann" }, { "name": "Bea" }, { "name": "bob" }, { "name": "Zoe" }, { "name": "가온" }],
            "pageInfo": { "hasNextPage": false, "hasPreviousPage": false }
        })
    );

    let some = ann
        .query(r#"{ users(search: "B") { nodes { name } } }"#)
        .await;
    assert_eq!(
        some.data()["users"]["nodes"],
        json!([{ "name": "Bea" }, { "name": "bob" }])
    );
    for hostile in ["%", "_", "B%", "' OR 1=1 --", "\\"] {
        let none = ann
            .run(
                "query($s: String) { users(search: $s) { nodes { name } } }",
                json!({ "s": hostile }),
            )
            .await;
        assert_eq!(none.data()["users"]["nodes"], json!([]), "{hostile}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_admins_ask_for_roles_and_bans() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);

    assert_eq!(
        ann.query("{ users(role: ADMIN) { nodes { name } } }")
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        ann.query("{ users(isBanned: true) { nodes { name } } }")
            .await
            .code(),
        "FORBIDDEN"
    );
    let admins = admin
        .query("{ users(role: ADMIN, isBanned: false) { nodes { name isBanned } } }")
        .await;
    assert_eq!(
        admins.data()["users"]["nodes"],
        json!([{ "name": "admin", "isBanned": false }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn walking_users_page_by_page_both_ways_shows_everybody_once() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for n in 0..7 {
        app.insert_user(&format!("user{n}"), Role::User).await;
    }
    let everybody: Vec<_> =
        ann.query("{ users { nodes { name } } }").await.data()["users"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|u| u["name"].as_str().unwrap().to_owned())
            .collect();

    for backwards in [false, true] {
        let (arguments, pages) = if backwards {
            ("last: 3, before", 3)
        } else {
            ("first: 3, after", 3)
        };
        let document = format!(
            "query($c: String) {{ users({arguments}: $c) {{ edges {{ cursor node {{ name }} }} \
             pageInfo {{ startCursor endCursor hasNextPage hasPreviousPage }} }} }}"
        );
        let (mut cursor, mut seen) = (json!(null), Vec::new());
        for page in 1..=pages {
            let answer = ann.run(&document, json!({ "c": cursor })).await;
            let users = &answer.data()["users"];
            let names = users["edges"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["node"]["name"].as_str().unwrap().to_owned());
            let (on, more) = if backwards {
                ("startCursor", "hasPreviousPage")
            } else {
                ("endCursor", "hasNextPage")
            };
            if backwards {
                seen.splice(0..0, names);
            } else {
                seen.extend(names);
            }
            cursor = users["pageInfo"][on].clone();
            assert_eq!(users["pageInfo"][more], page < pages);
        }
        assert_eq!(seen, everybody);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changes_one_s_own_name_and_with_the_password_the_e_mail_address() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;

    let fields = "user { name email updatedAt }";
    let renamed = ann
        .mutate(
            "updateUser",
            json!({ "id": ann.id, "name": "Anna" }),
            fields,
        )
        .await;
    assert_eq!(renamed.data()["updateUser"]["user"]["name"], "Anna");
    assert_eq!(
        renamed.data()["updateUser"]["user"]["email"],
        "ann@example.org"
    );
    assert!(renamed.data()["updateUser"]["user"]["updatedAt"].is_string());

    let new = "anna@example.org";
    let without = ann
        .mutate("updateUser", json!({ "id": ann.id, "email": new }), fields)
        .await;
    assert_eq!(
        (without.code(), without.violation()),
        ("INVALID", ("currentPassword".into(), "REQUIRED".into()))
    );
    let wrong = json!({ "id": ann.id, "email": new, "currentPassword": "wrong horse" });
    let wrong = ann.mutate("updateUser", wrong, fields).await;
    assert_eq!(
        (wrong.code(), wrong.violation()),
        (
            "INVALID",
            ("currentPassword".into(), "WRONG_PASSWORD".into())
        )
    );
    let right = json!({ "id": ann.id, "email": new, "currentPassword": PASSWORD });
    assert_eq!(
        ann.mutate("updateUser", right, fields).await.data()["updateUser"]["user"]["email"],
        new
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn null_in_a_change_is_told_and_changes_nothing() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let before = app.rows().await;

    let answer = ann
        .mutate(
            "updateUser",
            json!({ "id": ann.id, "name": null, "email": null }),
            "user { id }",
        )
        .await;

    assert_eq!(answer.code(), "INVALID");
    assert_eq!(
        answer.violations(),
        pairs(&[("name", "NULL"), ("email", "NULL")])
    );
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_changes_another_s_name_but_never_the_e_mail_address() {
    let app = TestApp::start().await;
    let (admin, ann, ben) = (
        app.admin().await,
        app.user("ann").await,
        app.user("ben").await,
    );

    let renamed = admin
        .mutate(
            "updateUser",
            json!({ "id": ann.id, "name": "Anna" }),
            "user { name }",
        )
        .await;
    assert_eq!(renamed.text("updateUser.user.name"), "Anna");
    let moved = json!({ "id": ann.id, "email": "x@example.org", "currentPassword": PASSWORD });
    assert_eq!(
        admin
            .mutate("updateUser", moved, "user { id }")
            .await
            .code(),
        "FORBIDDEN"
    );
    let stranger = ben
        .mutate(
            "updateUser",
            json!({ "id": ann.id, "name": "Anne" }),
            "user { id }",
        )
        .await;
    assert_eq!(stranger.code(), "FORBIDDEN");
    let nobody = json!({ "id": app.id_of_nothing("user"), "name": "Anne" });
    assert_eq!(
        admin
            .mutate("updateUser", nobody, "user { id }")
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_all_other_sessions() {
    let app = TestApp::start().await;
    let here = app.user("ann").await;
    let there = here.again("ann").await;

    let wrong = json!({ "currentPassword": "wrong horse", "newPassword": "a new password" });
    assert_eq!(
        here.mutate("changePassword", wrong, "success")
            .await
            .violation()
            .0,
        "currentPassword"
    );
    let common = json!({ "currentPassword": PASSWORD, "newPassword": "password1" });
    assert_eq!(
        here.mutate("changePassword", common, "success")
            .await
            .violation()
            .1,
        "COMMON_PASSWORD"
    );
    let right = json!({ "currentPassword": PASSWORD, "newPassword": "a new password" });
    assert_eq!(
        here.mutate("changePassword", right, "success")
            .await
            .at("changePassword.success"),
        true
    );

    assert_eq!(
        here.query("{ viewer { name } }").await.at("viewer.name"),
        "ann"
    );
    assert_eq!(
        there.query("{ viewer { name } }").await.code(),
        "TOKEN_INVALID"
    );
    assert_eq!(
        app.anonymous().log_in("ann", PASSWORD).await.code(),
        "UNAUTHENTICATED"
    );
    assert!(
        app.anonymous()
            .log_in("ann", "a new password")
            .await
            .errors()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_deleted_user_wrote_stays_without_an_author() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(crate::support::any_board()).await;
    let post = ann.post_on(&board, "Farewell").await;
    let comment = ann.comment_on(&post, "so long").await;

    let without = ann
        .mutate("deleteUser", json!({ "id": ann.id }), "deletedUserId")
        .await;
    assert_eq!(
        without.violation(),
        ("currentPassword".into(), "REQUIRED".into())
    );
    let input = json!({ "id": ann.id, "currentPassword": PASSWORD });
    assert_eq!(
        ann.mutate("deleteUser", input, "deletedUserId")
            .await
            .text("deleteUser.deletedUserId"),
        ann.id
    );

    assert_eq!(
        ann.query("{ viewer { name } }").await.code(),
        "TOKEN_INVALID"
    );
    let left = admin
        .run(
            "query($p: ID!, $c: ID!, $u: ID!) { post(id: $p) { author { name } content } comment(id: $c) { author { name } } node(id: $u) { id } }",
            json!({ "p": post, "c": comment, "u": ann.id }),
        )
        .await;
    assert_eq!(
        left.data(),
        &json!({ "post": { "author": null, "content": "Farewell: content" }, "comment": { "author": null }, "node": null })
    );
    assert_eq!(
        app.anonymous().log_in("ann", PASSWORD).await.code(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_user_speaks_for_nobody_until_let_in_again() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);

    let input = json!({ "id": ann.id, "reason": "Spam" });
    let banned = admin
        .mutate("banUser", input, "user { isBanned banReason }")
        .await;
    assert_eq!(
        banned.data()["banUser"]["user"],
        json!({ "isBanned": true, "banReason": "Spam" })
    );

    let refused = ann.query("{ viewer { name } }").await;
    assert_eq!((refused.code(), refused.status.as_u16()), ("BANNED", 401));
    assert_eq!(refused.errors()[0]["extensions"]["reason"], "Spam");
    let at_the_door = app.anonymous().log_in("ann", PASSWORD).await;
    assert_eq!(
        (
            at_the_door.code(),
            &at_the_door.errors()[0]["extensions"]["reason"]
        ),
        ("BANNED", &json!("Spam"))
    );
    assert_eq!(
        app.anonymous().log_in("ann", "wrong horse").await.code(),
        "UNAUTHENTICATED"
    );

    admin
        .mutate("unbanUser", json!({ "id": ann.id }), "user { isBanned }")
        .await
        .data();
    assert!(
        app.anonymous()
            .log_in("ann", PASSWORD)
            .await
            .errors()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let before = app.rows().await;

    let demote = json!({ "id": admin.id, "role": "USER" });
    for answer in [
        admin
            .mutate("setUserRole", demote.clone(), "user { id }")
            .await,
        admin
            .mutate("banUser", json!({ "id": admin.id }), "user { id }")
            .await,
        admin
            .mutate(
                "deleteUser",
                json!({ "id": admin.id, "currentPassword": PASSWORD }),
                "deletedUserId",
            )
            .await,
    ] {
        assert_eq!(
            (answer.code(), answer.violation()),
            ("CONFLICT", ("id".into(), "LAST_ADMIN".into()))
        );
    }
    assert_eq!(app.rows().await, before);

    // A banned admin is none to rely on.
    admin
        .mutate(
            "setUserRole",
            json!({ "id": ann.id, "role": "ADMIN" }),
            "user { role }",
        )
        .await
        .data();
    admin
        .mutate("banUser", json!({ "id": ann.id }), "user { id }")
        .await
        .data();
    assert_eq!(
        admin
            .mutate("setUserRole", demote.clone(), "user { id }")
            .await
            .code(),
        "CONFLICT"
    );
    admin
        .mutate("unbanUser", json!({ "id": ann.id }), "user { id }")
        .await
        .data();
    assert_eq!(
        admin
            .mutate("setUserRole", demote, "user { role }")
            .await
            .text("setUserRole.user.role"),
        "USER"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_admins_who_demote_each_other_at_once_leave_one() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let other = app.user("other").await;
    for _ in 0..5 {
        admin
            .mutate(
                "setUserRole",
                json!({ "id": other.id, "role": "ADMIN" }),
                "user { id }",
            )
            .await;
        let (one, two) = tokio::join!(
            admin.mutate(
                "setUserRole",
                json!({ "id": other.id, "role": "USER" }),
                "user { id }"
            ),
            other.mutate(
                "setUserRole",
                json!({ "id": admin.id, "role": "USER" }),
                "user { id }"
            ),
        );
        let demoted = [&one, &two]
            .iter()
            .filter(|a| a.errors().is_empty())
            .count();
        assert_eq!(demoted, 1, "{one:?} {two:?}");
        if two.errors().is_empty() {
            other
                .mutate(
                    "setUserRole",
                    json!({ "id": admin.id, "role": "ADMIN" }),
                    "user { id }",
                )
                .await
                .data();
            admin
                .mutate(
                    "setUserRole",
                    json!({ "id": other.id, "role": "USER" }),
                    "user { id }",
                )
                .await
                .data();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_holds_from_the_next_request_and_the_next_field() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = json!({ "name": "Ann's", "information": "of Ann" });
    assert_eq!(
        ann.mutate("createBoard", board.clone(), "board { id }")
            .await
            .code(),
        "FORBIDDEN"
    );

    admin
        .mutate(
            "setUserRole",
            json!({ "id": ann.id, "role": "ADMIN" }),
            "user { id }",
        )
        .await
        .data();
    ann.mutate("createBoard", board, "board { id }")
        .await
        .data();

    // Gives away the role, then tries to use it in the same document.
    let answer = ann
        .run(
            "mutation($r: SetUserRoleInput!, $b: CreateBoardInput!) { setUserRole(input: $r) { user { role } } createBoard(input: $b) { board { id } } }",
            json!({ "r": { "id": ann.id, "role": "USER" }, "b": { "name": "B", "information": "b" } }),
        )
        .await;
    assert_eq!(answer.at("setUserRole.user.role"), "USER");
    assert_eq!(
        (answer.code(), &answer.errors()[0]["path"]),
        ("FORBIDDEN", &json!(["createBoard"]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn node_follows_the_rule_of_each_type() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let document = "query($i: [ID!]!) { nodes(ids: $i) { __typename id } }";

    let ids = json!([ann.id, app.id_of_nothing("user"), app.id_of_nothing("post")]);
    let seen = ann.run(document, json!({ "i": ids })).await;
    assert_eq!(
        seen.data()["nodes"],
        json!([{ "__typename": "User", "id": ann.id }, null, null])
    );
    let unseen = app
        .anonymous()
        .run(document, json!({ "i": [ann.id] }))
        .await;
    assert_eq!(unseen.data()["nodes"], json!([null]));

    let bad = ann
        .run(
            document,
            json!({ "i": [ann.id, "x", app.id_of_nothing("signin")] }),
        )
        .await;
    assert_eq!(
        (bad.code(), bad.violation()),
        ("INVALID", ("ids.1".into(), "ID_TYPE".into()))
    );
    let many: Vec<_> = (0..101).map(|_| app.id_of_nothing("user")).collect();
    assert_eq!(
        ann.run(document, json!({ "i": many })).await.code(),
        "LIMIT_EXCEEDED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sessions_that_change_the_password_at_once_one_does() {
    let app = TestApp::start().await;
    let here = app.user("ann").await;
    let mut password = PASSWORD.to_owned();
    for round in 0..3 {
        let mut here = here.clone();
        here.log_in("ann", &password).await;
        let mut there = here.clone();
        there.log_in("ann", &password).await;
        let change = |new: String| json!({ "currentPassword": password, "newPassword": new });
        let news = [
            format!("new password of here {round}"),
            format!("new password of there {round}"),
        ];

        let (one, two) = tokio::join!(
            here.mutate("changePassword", change(news[0].clone()), "success"),
            there.mutate("changePassword", change(news[1].clone()), "success"),
        );

        let winners: Vec<_> = [&one, &two]
            .iter()
            .map(|a| a.at("changePassword.success") == true)
            .collect();
        assert_eq!(winners.iter().filter(|w| **w).count(), 1, "{one:?} {two:?}");
        password = news[usize::from(!winners[0])].clone();
        assert!(
            app.anonymous()
                .log_in("ann", &password)
                .await
                .errors()
                .is_empty()
        );
    }
}
