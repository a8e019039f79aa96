//! Variables are made to fit, or refused before anything runs.

use serde_json::{Value, json};

use super::{Bench, raw};
use crate::error::Language;

const ECHO: &str =
    "query($int: Int, $float: Float, $id: ID, $colour: Colour, $ints: [Int!], $fallback: Int) {
    echo(int: $int, float: $float, id: $id, colour: $colour, ints: $ints, fallback: $fallback) }";

#[tokio::test]
async fn values_are_coerced_as_the_specification_has_it() {
    let bench = Bench::new();
    for (variables, echoed) in [
        (json!({}), "None None None None None 3"),
        (json!({"unknown": 1}), "None None None None None 3"),
        (
            json!({"int": 1, "float": 1}),
            "Some(1) Some(1.0) None None None 3",
        ),
        (
            json!({"int": 2.0, "float": 1.5}),
            "Some(2) Some(1.5) None None None 3",
        ),
        (
            json!({"id": 12, "colour": "GREEN"}),
            r#"None None Some("12") Some("green") None 3"#,
        ),
        (
            json!({"id": "a", "ints": 1}),
            r#"None None Some("a") None Some([1]) 3"#,
        ),
        (
            json!({"ints": [1, 2], "fallback": 4}),
            "None None None None Some([1, 2]) 4",
        ),
        (
            json!({"int": null, "ints": null}),
            "None None None None None 3",
        ),
    ] {
        let answer = bench.ask_with(ECHO, variables.clone()).await;
        assert_eq!(answer, json!({"data": {"echo": echoed}}), "{variables}");
    }
}

#[tokio::test]
async fn defaults_hold_where_nothing_is_given() {
    let query = "query($int: Int = 5, $id: ID = 6, $ints: [Int!] = 7, $colour: Colour = GREEN) {
        echo(int: $int, id: $id, ints: $ints, colour: $colour) }";
    for (variables, echoed) in [
        (
            json!({}),
            r#"Some(5) None Some("6") Some("green") Some([7]) 3"#,
        ),
        (
            json!({"int": null, "ints": []}),
            r#"None None Some("6") Some("green") Some([]) 3"#,
        ),
    ] {
        let answer = Bench::new().ask_with(query, variables).await;
        assert_eq!(answer, json!({"data": {"echo": echoed}}));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_variable_and_path() {
    let pen = "query($pen: Pen!) { draw(pen: $pen) }";
    let by = "query($by: Choice!) { choose(by: $by) }";
    for (query, variables, named) in [
        (ECHO, json!({"int": "1"}), "$int"),
        (ECHO, json!({"int": 1.5}), "$int"),
        (ECHO, json!({"int": 2_147_483_648_i64}), "$int"),
        (ECHO, json!({"float": "1"}), "$float"),
        (ECHO, json!({"id": true}), "$id"),
        (ECHO, json!({"id": 1.5}), "$id"),
        (ECHO, json!({"colour": "BLUE"}), "$colour"),
        (ECHO, json!({"colour": 1}), "$colour"),
        (ECHO, json!({"ints": [1, "2"]}), "$ints.1"),
        (ECHO, json!({"ints": [1, null]}), "$ints.1"),
        (ECHO, json!({"ints": {}}), "$ints"),
        (pen, json!({}), "$pen"),
        (pen, json!({"pen": null}), "$pen"),
        (pen, json!({"pen": []}), "$pen"),
        (pen, json!({"pen": {}}), "$pen.colour"),
        (
            pen,
            json!({"pen": {"colour": "RED", "nothing": 1}}),
            "$pen.nothing",
        ),
        (
            pen,
            json!({"pen": {"colour": "RED", "spare": {"colour": "RED", "tags": [1]}}}),
            "$pen.spare.tags.0",
        ),
        (by, json!({"by": {}}), "$by"),
        (by, json!({"by": {"id": 1, "name": "a"}}), "$by"),
        (by, json!({"by": {"id": null}}), "$by"),
    ] {
        let answer = Bench::new().ask_with(query, variables.clone()).await;

        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_REQUEST", "{variables}");
        let message = error["message"].as_str().expect("a message");
        assert!(
            message.starts_with(&format!("Variable \"{named}\" ")),
            "{variables}: {message}"
        );
    }
}

#[tokio::test]
async fn null_for_a_field_that_has_a_default_breaks_a_rule_of_that_field() {
    let pen = "query($pen: Pen!) { draw(pen: $pen) }";
    let mut bench = Bench::new();
    for (language, message) in [
        (Language::En, "Must not be null."),
        (Language::Ko, "null일 수 없습니다."),
    ] {
        bench.language = language;
        let inner = json!({"colour": "RED", "length": null});
        for (variables, field) in [
            (json!({"pen": inner}), "length"),
            (
                json!({"pen": {"colour": "RED", "spare": inner}}),
                "spare.length",
            ),
        ] {
            let answer = bench.ask_with(pen, variables).await;

            let extensions = &answer["errors"][0]["extensions"];
            assert_eq!(extensions["code"], "INVALID");
            let violation = json!({"field": field, "code": "NULL", "message": message});
            assert_eq!(extensions["violations"], json!([violation]));
        }
        let inline = "query($length: Int) { draw(pen: {colour: RED, spare: {colour: RED, length: $length}}) }";
        let answer = bench.ask_with(inline, json!({"length": null})).await;
        let extensions = &answer["errors"][0]["extensions"];
        let violation = json!({"field": "spare.length", "code": "NULL", "message": message});
        assert_eq!(extensions["violations"], json!([violation]));
        let absent = bench.ask_with(inline, json!({})).await;
        assert_eq!(absent["errors"], Value::Null);
    }
}

#[tokio::test]
async fn what_does_not_fit_is_said_in_the_language_of_the_caller() {
    let mut bench = Bench::new();
    bench.language = Language::Ko;

    let answer = bench.ask_with(ECHO, json!({"int": "1"})).await;

    let message = answer["errors"][0]["message"].as_str().expect("a message");
    assert!(message.starts_with("변수 \"$int\""), "{message}");
}

#[tokio::test]
async fn every_variable_that_does_not_fit_is_told() {
    let codes = Bench::new()
        .refused_with(ECHO, json!({"int": "1", "float": "2", "id": 3}))
        .await;

    assert_eq!(codes, ["BAD_REQUEST", "BAD_REQUEST"]);
}

#[tokio::test]
async fn objects_keep_what_is_absent_absent() {
    let change = "query($input: Change!) { change(input: $input) }";
    let named = "query($name: String) { change(input: {name: $name}) }";
    for (query, variables, seen) in [
        (change, json!({"input": {}}), "undefined"),
        (change, json!({"input": {"name": null}}), "null"),
        (change, json!({"input": {"name": "a"}}), "value"),
        (named, json!({}), "undefined"),
        (named, json!({"name": null}), "null"),
        (named, json!({"name": "a"}), "value"),
    ] {
        let answer = Bench::new().ask_with(query, variables).await;
        assert_eq!(answer, json!({"data": {"change": seen}}));
    }
    let pen = json!({"pen": {"colour": "RED", "tags": "one"}});
    let answer = Bench::new()
        .ask_with("query($pen: Pen!) { draw(pen: $pen) }", pen)
        .await;
    assert_eq!(answer["data"]["draw"], r#"true None 7 Some(["one"]) None"#);
}

#[tokio::test]
async fn only_files_that_came_with_the_request_are_uploads() {
    let query = "mutation($file: Upload) { store(file: $file) }";
    for (given, fits) in [
        (json!("#__graphql_file__:0"), true),
        (Value::Null, true),
        (json!("#__graphql_file__:1"), false),
        (json!("#__graphql_file__:x"), false),
        (json!("text"), false),
        (json!({}), false),
    ] {
        let mut request = raw(query, json!({"file": given}));
        request.uploads = 1;
        let prepared = Bench::new().engine().prepare(request).await;
        assert_eq!(prepared.is_ok(), fits, "{given}");
    }
}

#[tokio::test]
async fn a_scalar_of_free_form_takes_anything() {
    let query = "query($json: JSON) { free(json: $json) }";
    let given = json!({"a": [1, {"b": null}]});

    let answer = Bench::new().ask_with(query, json!({"json": given})).await;

    assert_eq!(answer["data"]["free"], given.to_string());
}
