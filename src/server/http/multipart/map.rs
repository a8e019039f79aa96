//! The part `map`: which part of the form is which value of the operations.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result, short},
    server::execution::UPLOAD,
};

/// Puts a reference to each file where `map` says in `operations`. Returns the names of the parts, in their order.
///
/// # Errors
/// `BAD_REQUEST`; `LIMIT_EXCEEDED` for more than `most` files.
pub fn apply(map: &[u8], operations: &mut Map<String, Value>, most: usize) -> Result<Vec<String>> {
    let Entries(entries) = serde_json::from_slice(map).map_err(|error| {
        Error::bad_request(
            format!("The map is not an object of lists of paths: {error}."),
            format!("map은 경로 목록으로 된 객체여야 합니다: {error}."),
        )
    })?;
    if entries.len() > most {
        return Err(Error::LimitExceeded {
            what: "uploads",
            limit: most as u64,
        });
    }
    let mut names = HashSet::new();
    for (n, (name, paths)) in entries.iter().enumerate() {
        let [path] = paths.as_slice() else {
            return Err(wrong(
                format!(
                    "maps the part \"{}\" to {} paths instead of one",
                    short(name),
                    paths.len()
                ),
                format!("\"{}\" 파트의 경로가 {}개입니다", short(name), paths.len()),
            ));
        };
        if !names.insert(name) {
            return Err(wrong(
                format!("names the part \"{}\" twice", short(name)),
                format!("\"{}\" 파트가 두 번 있습니다", short(name)),
            ));
        }
        let place = place(operations, path).filter(|place| place.is_null());
        let place = place.ok_or_else(|| {
            wrong(
                format!(
                    "has the path \"{}\", where no null is, or which another file took",
                    short(path)
                ),
                format!(
                    "\"{}\" 경로에 null이 없거나 다른 파일이 이미 있습니다",
                    short(path)
                ),
            )
        })?;
        *place = Value::String(format!("{UPLOAD}{n}"));
    }
    Ok(entries.into_iter().map(|(name, _)| name).collect())
}

/// The value at this path, such as `variables.input.files.0`.
fn place<'a>(operations: &'a mut Map<String, Value>, path: &str) -> Option<&'a mut Value> {
    let rest = path.strip_prefix("variables.")?;
    let mut place = operations.get_mut("variables")?;
    for step in rest.split('.') {
        place = match place {
            Value::Object(fields) => fields.get_mut(step)?,
            Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(place)
}

/// The entries of a map, with those whose names are equal.
struct Entries(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(All)
    }
}

fn wrong(en: String, ko: String) -> Error {
    Error::bad_request(
        format!("The map {en}."),
        format!("map이 잘못되었습니다: {ko}."),
    )
}
