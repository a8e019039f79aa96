//! Imports only go down. A module imports from its own floor and from the floors below it, and no imports form a circle. A
//! `graphql.rs` may use the types and the store of every feature, but never another feature's `graphql.rs`. Each table has an
//! owner: only the owner's store writes to it, and only listed rooms may read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::support::tables;

/// The floors, from the ground up, by the beginning of a module's path; `*` stands for a feature.
const FLOORS: [&[&str]; 10] = [
    &[
        "budget",
        "by_type",
        "clock",
        "config",
        "connection",
        "counts",
        "cpu",
        "direct",
        "error",
        "ids",
        "input",
        "keys",
        "logging",
        "random",
        "rounds",
        "terms",
        "text",
    ],
    &["redis"],
    &["db", "documents", "blobs", "cache", "bus", "queue"],
    &["access"],
    &["app"],
    &[
        "loader", "memory", "list", "watch", "work", "context", "fanout",
    ],
    &["*"],
    &["*::store", "*::live", "*::jobs", "*::readable"],
    &["*::graphql"],
    &["server", "demo", "commands", "heap", "fuzz", ""],
];

const FEATURES: [&str; 8] = [
    "accounts", "ai", "boards", "chat", "comments", "files", "jobs", "posts",
];

fn floor(module: &str) -> usize {
    let (room, rest) = module.split_once("::").unwrap_or((module, ""));
    let place = if FEATURES.contains(&room) {
        match rest.split("::").next() {
            Some(part @ ("store" | "live" | "jobs" | "readable" | "graphql")) => {
                format!("*::{part}")
            }
            _ => "*".to_owned(),
        }
    } else {
        room.to_owned()
    };
    let found = FLOORS
        .iter()
        .position(|floor| floor.contains(&place.as_str()));
    found.unwrap_or_else(|| {
        panic!(
            "{module} stands on no floor: add it to FLOORS in {}",
            file!()
        )
    })
}

/// Each table with its owner and the rooms that may read it. Other rooms must not name the table; only the owner's store
/// writes to it. The demo is exempt, since it fills a database that nobody uses yet.
const TABLES: [(&str, &str, &[&str]); 19] = [
    (
        "users",
        "accounts",
        &["access", "boards::store", "chat::store"],
    ),
    ("sign_in_sessions", "accounts", &["access"]),
    ("refresh_tokens", "accounts", &[]),
    ("sign_in_addresses", "accounts", &[]),
    ("boards", "boards", &["posts::store", "comments::store"]),
    ("board_grants", "boards", &[]),
    ("posts", "posts", &["comments::store"]),
    ("post_search", "posts", &[]),
    ("likes", "posts", &[]),
    ("comments", "comments", &[]),
    ("files", "files", &[]),
    ("file_usage", "files", &[]),
    ("cache_entries", "cache", &[]),
    ("chat_sessions", "chat", &[]),
    ("chat_participants", "chat", &[]),
    ("chat_invitations", "chat", &[]),
    ("ai_models", "ai", &[]),
    ("ai_logs", "ai", &[]),
    // The type of a row is in jobs; AI models and logs show how far theirs have come.
    ("jobs", "queue", &["jobs", "ai"]),
];

/// The sources of all modules, without comments and tests.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    read(&root, &root, &mut sources);
    sources
}

/// Which module imports which, by file.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let modules: BTreeSet<String> = sources.keys().cloned().collect();
    sources
        .iter()
        .map(|(module, source)| {
            let uses = paths(source)
                .into_iter()
                .filter_map(|path| resolve(module, &path, &modules));
            (module.clone(), uses.filter(|used| used != module).collect())
        })
        .collect()
}

fn read(root: &Path, folder: &Path, sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, sources);
            continue;
        }
        let is_source =
            path.extension().is_some_and(|e| e == "rs") && !path.ends_with("src/main.rs");
        // Tests beside the code may reach for what they need.
        let is_test =
            path.components().any(|c| c.as_os_str() == "tests") || path.ends_with("tests.rs");
        if is_source && !is_test {
            let relative = path.strip_prefix(root).unwrap().with_extension("");
            let mut parts: Vec<_> = relative.iter().map(|p| p.to_str().unwrap()).collect();
            parts.pop_if(|last| *last == "mod" || *last == "lib");
            let source = fs::read_to_string(&path).unwrap();
            let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code: String = code
                .lines()
                .filter(|l| !l.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            sources.insert(parts.join("::"), code);
        }
    }
}

/// All paths that begin with `crate`, `super` or `self`, with `use` trees spread out.
fn paths(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in source.match_indices(start) {
            let before = source[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | ':' | '$')) {
                spread(&source[at..], String::new(), &mut found);
            }
        }
    }
    found
}

/// Reads one tree from the front of `text`; answers what is left.
fn spread<'a>(text: &'a str, prefix: String, found: &mut Vec<String>) -> &'a str {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    let mut rest = &text[end..];
    if path.ends_with("::") && rest.starts_with('{') {
        rest = &rest[1..];
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            match rest.chars().next() {
                Some('}') => return &rest[1..],
                Some('*') => rest = &rest[1..],
                Some(_) => {
                    rest = spread(rest, path.clone(), found).trim_start();
                    if let Some(renamed) = rest.strip_prefix("as ") {
                        rest =
                            renamed.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
                    }
                }
                None => return rest,
            }
        }
    }
    found.push(path);
    rest
}

fn resolve(module: &str, path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut at: Vec<&str> = module.split("::").filter(|p| !p.is_empty()).collect();
    let mut parts = path.split("::").filter(|p| !p.is_empty()).peekable();
    match parts.peek() {
        Some(&"crate") => at.clear(),
        Some(&"super" | &"self") => {}
        _ => return None,
    }
    for part in parts {
        match part {
            "crate" | "self" => {}
            "super" => {
                at.pop();
            }
            part => at.push(part),
        }
    }
    // The longest beginning that is a file; a path into the crate's root is `use crate::on`, the macro's second name.
    (1..=at.len())
        .rev()
        .map(|n| at[..n].join("::"))
        .find(|m| modules.contains(m))
}

#[test]
fn imports_only_go_down() {
    let mut upward = Vec::new();
    for (module, used) in imports() {
        for used in used.iter().filter(|used| floor(used) > floor(&module)) {
            upward.push(format!("{module} imports {used}"));
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn no_graphql_file_names_another_feature_s() {
    let is_graphql = |module: &str| module.split("::").nth(1) == Some("graphql");
    let feature = |module: &str| module.split("::").next().unwrap().to_owned();
    for (module, used) in imports().iter().filter(|(module, _)| is_graphql(module)) {
        for used in used.iter().filter(|used| is_graphql(used)) {
            assert_eq!(feature(module), feature(used), "{module} imports {used}");
        }
    }
}

#[test]
fn no_file_imports_in_a_circle() {
    let imports = imports();
    assert!(imports.len() > 30, "the sources were not found");
    // A module and the files of its own folder are one room: they may lean on each other.
    let room = |module: &str| -> String {
        let depth =
            if module.starts_with("server") || FEATURES.iter().any(|f| module.starts_with(f)) {
                2
            } else {
                1
            };
        module
            .split("::")
            .take(depth)
            .collect::<Vec<_>>()
            .join("::")
    };
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, used) in &imports {
        let own = room(module);
        let used = used.iter().map(|u| room(u)).filter(|u| *u != own);
        rooms.entry(own.clone()).or_default().extend(used);
    }
    let mut done = BTreeSet::new();
    for start in rooms.keys() {
        walk(start, &rooms, &mut Vec::new(), &mut done);
    }
}

fn walk(
    room: &str,
    rooms: &BTreeMap<String, BTreeSet<String>>,
    way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) {
    if let Some(at) = way.iter().position(|r| r == room) {
        panic!("a circle: {} → {room}", way[at..].join(" → "));
    }
    if done.contains(room) {
        return;
    }
    way.push(room.to_owned());
    for next in rooms.get(room).into_iter().flatten() {
        walk(next, rooms, way, done);
    }
    way.pop();
    done.insert(room.to_owned());
}

/// Whether the module belongs to the room, which may be a part of a module's path.
fn is_in(module: &str, room: &str) -> bool {
    let rest = module.strip_prefix(room);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether `code` names the table, as diesel's or in SQL.
fn names(code: &str, table: &str) -> bool {
    let is_table = |path: &String| path.ends_with(&format!("tables::{table}"));
    let in_sql = |word: &str| {
        let words = format!("{word} {table}");
        code.match_indices(&words).any(|(at, _)| {
            let after = code[at + words.len()..].chars().next();
            after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
        })
    };
    paths(code).iter().any(is_table) || ["FROM", "INTO", "UPDATE", "JOIN"].into_iter().any(in_sql)
}

/// Whether `code` writes to the table.
fn writes(code: &str, table: &str) -> bool {
    let dense: String = code.split_whitespace().collect();
    let by_diesel = ["insert_into", "insert_or_ignore_into", "update", "delete"]
        .iter()
        .any(|verb| dense.contains(&format!("{verb}({table}::table")));
    let by_sql = ["INTO", "UPDATE", "DELETE FROM"]
        .iter()
        .any(|verb| code.contains(&format!("{verb} {table} ")));
    by_diesel || by_sql
}

#[test]
fn each_table_is_named_by_its_owner_and_its_readers_and_written_by_its_owner_alone() {
    let mut strangers = Vec::new();
    for (module, code) in sources() {
        if is_in(&module, "db") || is_in(&module, "demo") {
            continue;
        }
        for (table, owner, readers) in TABLES {
            let is_owner = module == owner
                || is_in(&module, &format!("{owner}::store"))
                || (!FEATURES.contains(&owner) && is_in(&module, owner));
            let is_reader = readers.iter().any(|reader| is_in(&module, reader));
            if !is_owner && writes(&code, table) {
                strangers.push(format!("{module} writes to {table}"));
            } else if !is_owner && !is_reader && names(&code, table) {
                strangers.push(format!("{module} reads {table}"));
            }
        }
    }
    assert!(strangers.is_empty(), "{strangers:#?}");
}

#[test]
fn a_stranger_to_a_table_is_found() {
    let diesel =
        "use crate::db::{on, tables::{likes, posts}};\ndiesel::update(\n    posts::table.find(id))";
    let sql = "\"SELECT 1 FROM users WHERE id = ?\"";

    assert!(names(diesel, "likes") && names(diesel, "posts") && !names(diesel, "post"));
    assert!(writes(diesel, "posts") && !writes(diesel, "likes"));
    assert!(names(sql, "users") && !names(sql, "user") && !writes(sql, "users"));
    assert!(writes("\"INSERT INTO post_search (rowid)\"", "post_search"));
}

#[test]
fn every_table_has_an_owner() {
    let known: BTreeSet<_> = TABLES
        .iter()
        .map(|(table, ..)| (*table).to_owned())
        .collect();
    let there: BTreeSet<_> = tables().into_iter().map(|(table, _)| table).collect();

    assert_eq!(known, there);
}

/// `text` on one line, without the marks of comments and of emphasis.
fn flat(text: &str) -> String {
    let words = text.replace("//!", " ").replace("**", "");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_rule_is_told_in_the_same_words_everywhere() {
    let rule = "Imports only go down. A module imports from its own floor and from the floors below it, and no imports form a \
                circle. A `graphql.rs` may use the types and the store of every feature, but never another feature's \
                `graphql.rs`.";
    for text in [
        include_str!("../../src/lib.rs"),
        include_str!("../../docs/ARCHITECTURE.md"),
        include_str!("architecture.rs"),
    ] {
        assert!(flat(text).contains(rule), "{}", flat(text));
    }
}

#[test]
fn the_picture_shows_every_room() {
    let text = include_str!("../../docs/ARCHITECTURE.md");
    let picture = text.split("```").nth(1).unwrap();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let room = if entry.path().is_dir() {
            format!("{name}/")
        } else {
            name
        };
        assert!(
            room == "lib.rs" || picture.split_whitespace().any(|shown| shown == room),
            "{room}"
        );
    }
}
