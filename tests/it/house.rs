//! Files that are written from the program stay what the program would write. `UPDATE_FILES=1 ./test.sh` writes them anew.

use std::{fmt::Write, fs, path::Path};

use madang::{config::Config, db::describe, server};

fn hold(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_FILES").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == expected,
        "{file} is not what the program would write: UPDATE_FILES=1 ./test.sh writes it anew"
    );
}

#[test]
fn the_committed_schema_is_the_program_s() {
    hold("schema.graphql", &server::sdl());
}

#[test]
fn the_readme_describes_the_tables_that_there_are() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();

    hold("README.md", &describe::between_marks(&readme).unwrap());
}

#[test]
fn the_example_of_an_environment_lists_every_setting() {
    let mut text = "# Every setting with its default. Copy this file to .env and change what you need: the environment wins over\n\
                    # it, and flags (--bind …) win over both. A limit of 0, where it is taken, means none at all: LIMIT_SIGN_UP=0\n\
                    # lets nobody sign up.\n"
        .to_owned();
    for (key, default, help) in Config::keys() {
        write!(
            text,
            "\n# {}\n{key}={default}\n",
            help.replace('\n', "\n# ")
        )
        .unwrap();
    }

    hold(".env-example", &text);
}
