//! Readers of what strangers send, for fuzzing: docs in CONTRIBUTING.md. Each takes any bytes, must not panic, and asserts
//! what it promises. The inputs in `fuzz/seeds` are also tests.

use std::{
    io::{Cursor, Read, Seek, SeekFrom},
    sync::LazyLock,
};

use crate::{
    ai::dataset::{Dataset, Flaw},
    clock::Timestamp,
    connection::{self, CursorKey, Cursors},
    ids::{self, PostId},
    server::{self, execution::Examiner},
};

pub use server::{http::fuzz::form, socket::fuzz::message};

/// A document of GraphQL: parsed, validated, checked against the limits and normalised.
pub fn document(bytes: &[u8]) {
    static EXAMINER: LazyLock<Examiner> =
        LazyLock::new(|| Examiner::new(&server::schema::build(server::execution::Execution)));
    if let Ok(text) = std::str::from_utf8(bytes) {
        EXAMINER.examine(text);
    }
}

/// An id or a cursor: what is read is written the same.
pub fn cursor(bytes: &[u8]) {
    fn same<K: CursorKey>(cursors: Cursors, text: &str) {
        if let Some(key) = connection::decode::<K>(cursors, text) {
            assert_eq!(connection::encode(cursors, &key), text);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some((prefix, uuid)) = ids::decode(text) {
        assert_eq!(ids::encode(prefix, uuid), text);
    }
    same::<PostId>(Cursors::Posts(0), text);
    same::<String>(Cursors::Users, text);
    same::<i64>(Cursors::Chats, text);
    same::<(i64, PostId)>(Cursors::ChatEvents, text);
    same::<(Timestamp, PostId)>(Cursors::BoardMembers, text);
}

/// A data set: the same table in whatever portions it comes.
pub fn csv(bytes: &[u8]) {
    let whole = table(Cursor::new(bytes));
    let portions = Portions {
        content: Cursor::new(bytes),
        most: 1 + bytes.len() % 7,
    };
    assert_eq!(whole, table(portions));
}

/// The columns and all numbers, or what is wrong.
fn table(content: impl Read + Seek) -> Result<(Vec<String>, Vec<u64>), String> {
    let say = |flaw| match flaw {
        Flaw::Data(sentence) => sentence,
        Flaw::Io(error) => panic!("{error}"),
    };
    let mut dataset = Dataset::open(content).map_err(say)?;
    let columns = dataset.columns().to_vec();
    let wanted: Vec<_> = (0..columns.len()).collect();
    let (mut row, mut numbers) = (vec![0.0; columns.len()], Vec::new());
    while dataset.read(&wanted, &mut row).map_err(say)? {
        assert!(row.iter().all(|number| number.is_finite()));
        numbers.extend(row.iter().map(|number| number.to_bits()));
    }
    Ok((columns, numbers))
}

/// A file that gives few bytes at a time.
struct Portions<R> {
    content: R,
    most: usize,
}

impl<R: Read> Read for Portions<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.most);
        self.content.read(&mut buffer[..most])
    }
}

impl<R: Seek> Seek for Portions<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.content.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    type Target = fn(&[u8]);

    #[test]
    fn the_seeds_are_read() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        let targets: [(&str, Target); 5] = [
            ("csv", super::csv),
            ("cursor", super::cursor),
            ("document", super::document),
            ("form", super::form),
            ("message", super::message),
        ];
        for (name, target) in targets {
            let files = fs::read_dir(seeds.join(name)).unwrap();
            let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            assert!(files.len() > 2, "{name} has no seeds");
            for file in files {
                target(&fs::read(&file).unwrap());
            }
        }
    }
}
