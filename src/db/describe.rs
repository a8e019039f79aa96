//! The description of the tables for the README: columns, keys and references of a fresh database, with the comments in
//! `tables.rs`.

use std::{collections::HashMap, fmt::Write};

use diesel::{
    Connection, QueryableByName, RunQueryDsl,
    sql_types::{Integer, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::migrations;

const START: &str = "<!-- DB_TABLE_START -->";
const END: &str = "<!-- DB_TABLE_END -->";

type Result<T> = std::result::Result<T, String>;

/// `text` with a fresh description of the tables between the two marks.
///
/// # Errors
/// A sentence when a mark is missing, or when the migrations fail.
pub fn between_marks(text: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(START)
        .ok_or_else(|| format!("{START} is missing"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| format!("{END} is missing"))?;
    Ok(format!("{before}{START}\n{}{END}{after}", tables()?))
}

#[derive(QueryableByName)]
struct TableRow {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Integer)]
    is_needed: i32,
    #[diesel(sql_type = Integer)]
    place_in_key: i32,
    #[diesel(sql_type = Integer)]
    is_unique: i32,
    #[diesel(sql_type = Nullable<Text>)]
    refers_to: Option<String>,
}

const COLUMNS: &str = "
    SELECT c.name, c.type AS kind, c.\"notnull\" AS is_needed, c.pk AS place_in_key,
        EXISTS (SELECT 1 FROM pragma_index_list(?1) i, pragma_index_info(i.name) x
            WHERE i.origin = 'u' AND x.name = c.name) AS is_unique,
        (SELECT f.\"table\" || '.' || f.\"to\" FROM pragma_foreign_key_list(?1) f WHERE f.\"from\" = c.name) AS refers_to
    FROM pragma_table_info(?1) c ORDER BY c.cid";

fn tables() -> Result<String> {
    let mut conn = SqliteConnection::establish(":memory:").map_err(|e| e.to_string())?;
    migrations::run_sqlite(&mut conn, migrations::Action::Up).map_err(|e| e.to_string())?;
    let tables: Vec<TableRow> = diesel::sql_query(
        "SELECT s.name FROM sqlite_schema s JOIN pragma_table_list l ON l.name = s.name
         WHERE l.type IN ('table', 'virtual') AND s.name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY s.rowid",
    )
    .load(&mut conn)
    .map_err(|e| e.to_string())?;
    let said = said_of();
    let mut text = String::new();
    for TableRow { name: table } in tables {
        let columns: Vec<ColumnRow> = diesel::sql_query(COLUMNS)
            .bind::<Text, _>(&table)
            .load(&mut conn)
            .map_err(|e| e.to_string())?;
        text.push_str(&section(&table, &columns, &said));
    }
    Ok(text)
}

fn section(table: &str, columns: &[ColumnRow], said: &HashMap<String, String>) -> String {
    let about = said.get(table).map_or("", String::as_str);
    let mut text =
        format!("\n**{table}**: {about}\n\n| column | type | key | what |\n|---|---|---|---|\n");
    for column in columns {
        let mut keys = Vec::new();
        if column.place_in_key > 0 {
            keys.push("primary".to_owned());
        }
        if column.is_unique != 0 {
            keys.push("unique".to_owned());
        }
        keys.extend(
            column
                .refers_to
                .as_ref()
                .map(|target| format!("→ {target}")),
        );
        let kind = column.kind.to_lowercase();
        // Columns of a full-text table have neither.
        let kind = match (kind.as_str(), column.is_needed) {
            ("", _) => "full text".to_owned(),
            (_, 0) => format!("{kind}, null"),
            _ => kind,
        };
        let what = said
            .get(&format!("{table}.{}", column.name))
            .map_or("", String::as_str);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {kind} | {} | {what} |",
            column.name,
            keys.join(", ")
        );
    }
    text.push('\n');
    text
}

/// The doc comments of `tables.rs`, by `table` and by `table.column`.
fn said_of() -> HashMap<String, String> {
    let mut said = HashMap::new();
    let (mut table, mut words) = (String::new(), Vec::new());
    for line in include_str!("tables.rs").lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            words.push(comment);
            continue;
        }
        let key = match (line.split_once(" -> "), line.split_once(" (")) {
            (Some((column, _)), _) => Some(format!("{table}.{column}")),
            (None, Some((name, rest))) if rest.ends_with('{') => {
                name.clone_into(&mut table);
                Some(table.clone())
            }
            _ => None,
        };
        if let Some(key) = key {
            said.insert(key, words.join(" "));
        }
        words.clear();
    }
    said
}
