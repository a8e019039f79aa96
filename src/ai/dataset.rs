//! Data sets: tables of numbers as CSV in UTF-8, with a header. They are read row by row, so that memory does not grow with
//! them. Comma, semicolon or tab, whichever the header has most of.

use std::{
    collections::HashSet,
    fmt,
    io::{self, BufReader, Read, Seek, SeekFrom},
    time::{Duration, Instant},
};

use csv::{ByteRecord, Reader, ReaderBuilder};

use crate::error::short;

/// The most columns. Training takes time by the square of their number for each row.
pub const MOST_COLUMNS: usize = 500;
/// The most characters of a column's name.
const LONGEST_NAME: usize = 256;
/// The most bytes of a row. A quote that is never closed makes a row of all that follows.
const LONGEST_ROW: usize = 1 << 20;
/// What some programs write before text in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The bytes that are read at once. The header is looked for in the first of them.
const CHUNK: usize = 64 << 10;

/// Why a data set cannot be used.
#[derive(Debug)]
pub enum Flaw {
    /// A sentence that names the line of the file, where that is known; the header is line 1.
    Data(String),
    /// It cannot be read at all.
    Io(io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A data set whose header has been read.
#[derive(Debug)]
pub struct Dataset<R> {
    reader: Reader<Bounded<R>>,
    /// Where the text begins, in bytes.
    start: u64,
    columns: Vec<String>,
    record: ByteRecord,
}

impl<R: Read + Seek> Dataset<R> {
    /// Reads the header of a data set from its beginning.
    ///
    /// # Errors
    /// Without names in the first line, and for names that are blank, too long or there twice; for text that is not UTF-8.
    pub fn open(mut content: R) -> Result<Self, Flaw> {
        let mut head = Vec::with_capacity(CHUNK);
        content.rewind()?;
        content.by_ref().take(CHUNK as u64).read_to_end(&mut head)?;
        let is_utf16 = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
        if is_utf16 || head.contains(&0) {
            return Err(Flaw::Data(
                "the file is in UTF-16, or no text at all: save it as CSV in UTF-8".to_owned(),
            ));
        }
        // All of them: the parser takes a mark that comes alone for the end.
        let marks = head.chunks_exact(MARK.len());
        let text = MARK.len() * marks.take_while(|chunk| *chunk == MARK).count();
        let start = text as u64;
        content.seek(SeekFrom::Start(start))?;
        let content = Bounded { content, given: 0 };
        let reader = ReaderBuilder::new()
            .delimiter(delimiter(&head[text..]))
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(CHUNK)
            .from_reader(content);
        let mut dataset = Self {
            reader,
            start,
            columns: Vec::new(),
            record: ByteRecord::new(),
        };
        if !dataset.next()? {
            return Err(Flaw::Data("the file has no header".to_owned()));
        }
        match header(&dataset.record) {
            Ok(columns) => dataset.columns = columns,
            Err(sentence) => return Err(dataset.flaw(sentence)),
        }
        Ok(dataset)
    }

    /// The names of the columns, in their order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The bytes that have been read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    /// Reads the numbers of the next row in these columns, in the order of `wanted`. False at the end.
    ///
    /// # Errors
    /// For a row that has more or fewer columns than the header, and for cells that are no finite numbers.
    pub fn read(&mut self, wanted: &[usize], row: &mut [f64]) -> Result<bool, Flaw> {
        if !self.next()? {
            return Ok(false);
        }
        if self.record.len() != self.columns.len() {
            let (found, expected) = (self.record.len(), self.columns.len());
            return Err(self.flaw(format!("has {} instead of {expected}", columns(found))));
        }
        for (column, value) in wanted.iter().zip(row) {
            match number(self.record.get(*column).unwrap_or_default()) {
                Ok(number) => *value = number,
                Err(what) => {
                    let name = &self.columns[*column];
                    return Err(self.flaw(format!("{} {what}", short(name))));
                }
            }
        }
        Ok(true)
    }

    /// Reads one record. False at the end.
    fn next(&mut self) -> Result<bool, Flaw> {
        let read = self.reader.read_byte_record(&mut self.record);
        self.reader.get_mut().given = 0;
        read.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|e| e.is::<TooLong>()) => self
                .flaw(format!(
                    "does not end within {LONGEST_ROW} bytes; is a quote not closed?"
                )),
            csv::ErrorKind::Io(error) => Flaw::Io(error),
            // Rows of any length are read, as bytes.
            other => Flaw::Io(io::Error::other(format!("{other:?}"))),
        })
    }

    /// A flaw of the record that was read last.
    fn flaw(&mut self, sentence: String) -> Flaw {
        match self.line() {
            Ok(line) => Flaw::Data(format!("line {line}: {sentence}")),
            Err(error) => Flaw::Io(error),
        }
    }

    /// The line that the last record begins in. The parser does not say: it counts neither blank lines nor those that end
    /// with a carriage return. This reads the file again, and the parser cannot go on.
    fn line(&mut self) -> io::Result<u64> {
        let start = self.record.position().map_or(0, csv::Position::byte);
        let content = &mut self.reader.get_mut().content;
        content.seek(SeekFrom::Start(self.start))?;
        let content = BufReader::with_capacity(CHUNK, content);
        let (mut line, mut at, mut last) = (1, 0, 0);
        for byte in content.bytes() {
            let byte = byte?;
            match byte {
                b'\n' if last == b'\r' => {}
                b'\n' | b'\r' => line += 1,
                _ if at >= start => break,
                _ => {}
            }
            (last, at) = (byte, at + 1);
        }
        Ok(line)
    }

    /// Calls `take` with one row after the other, for this long. False at the end.
    ///
    /// # Errors
    /// Those of [`Dataset::read`] and of `take`.
    pub fn read_for(
        &mut self,
        time: Duration,
        wanted: &[usize],
        mut take: impl FnMut(&[f64]) -> Result<(), Flaw>,
    ) -> Result<bool, Flaw> {
        /// Rows between two looks at the time.
        const ROWS: usize = 64;
        let until = Instant::now() + time;
        let mut row = vec![0.0; wanted.len()];
        loop {
            for _ in 0..ROWS {
                if !self.read(wanted, &mut row)? {
                    return Ok(false);
                }
                take(&row)?;
            }
            if Instant::now() >= until {
                return Ok(true);
            }
        }
    }
}

/// As in "3 columns".
#[must_use]
pub fn columns(count: usize) -> String {
    match count {
        1 => "1 column".to_owned(),
        count => format!("{count} columns"),
    }
}

/// What stands between the columns of the first line.
fn delimiter(head: &[u8]) -> u8 {
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let mut is_quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in &head[start.unwrap_or_default()..] {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\r' | b'\n' if !is_quoted => break,
            _ if is_quoted => {}
            byte => counts
                .iter_mut()
                .filter(|(candidate, _)| candidate == byte)
                .for_each(|(_, count)| *count += 1),
        }
    }
    // The first of those that are equally frequent.
    let most = counts.iter().rev().max_by_key(|(_, count)| *count);
    most.map_or(b',', |(byte, _)| *byte)
}

/// The names of the columns, or what is wrong with them.
fn header(record: &ByteRecord) -> Result<Vec<String>, String> {
    if record.len() > MOST_COLUMNS {
        let found = columns(record.len());
        return Err(format!("has {found}, and {MOST_COLUMNS} are the most"));
    }
    if record.iter().all(|cell| number(cell).is_ok()) {
        return Err("has numbers where the names of the columns belong".to_owned());
    }
    let (mut names, mut all) = (HashSet::new(), Vec::new());
    for (cell, n) in record.iter().zip(1..) {
        let name = std::str::from_utf8(cell)
            .map_err(|_| "is not UTF-8: save the file as CSV in UTF-8".to_owned())?;
        let name = name.trim();
        if name.is_empty() {
            return Err(format!("column {n} has no name"));
        }
        if name.chars().nth(LONGEST_NAME).is_some() {
            return Err(format!(
                "the name of column {n} has more than {LONGEST_NAME} characters"
            ));
        }
        if name.chars().any(char::is_control) {
            return Err(format!("the name of column {n} has control characters"));
        }
        if !names.insert(name) {
            return Err(format!("two columns are called {}", short(name)));
        }
        all.push(name.to_owned());
    }
    Ok(all)
}

/// The number in a cell, or what is wrong with it.
fn number(cell: &[u8]) -> Result<f64, String> {
    let text = std::str::from_utf8(cell).map_err(|_| "is not UTF-8".to_owned())?;
    let text = text.trim();
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        Ok(number) if number.is_nan() => Err("is NaN".to_owned()),
        Ok(_) => Err(format!("is infinite: {}", short(text))),
        Err(_) => Err(format!("is not a number: {}", short(text))),
    }
}

/// That a row is too long.
#[derive(Debug)]
struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row is too long")
    }
}

impl std::error::Error for TooLong {}

/// What the parser reads. It would hold a row of any length.
#[derive(Debug)]
struct Bounded<R> {
    content: R,
    /// Bytes given since the last row ended.
    given: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given > LONGEST_ROW {
            return Err(io::Error::other(TooLong));
        }
        let read = self.content.read(buffer)?;
        self.given += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// The columns and all rows.
    fn parsed(text: &[u8]) -> Result<(Vec<String>, Vec<Vec<f64>>), String> {
        let say = |flaw| match flaw {
            Flaw::Data(sentence) => sentence,
            Flaw::Io(error) => panic!("{error}"),
        };
        let mut dataset = Dataset::open(Cursor::new(text)).map_err(say)?;
        let wanted: Vec<_> = (0..dataset.columns().len()).collect();
        let mut rows = Vec::new();
        let mut row = vec![0.0; wanted.len()];
        while dataset.read(&wanted, &mut row).map_err(say)? {
            rows.push(row.clone());
        }
        Ok((dataset.columns().to_vec(), rows))
    }

    #[test]
    fn tables_are_read_as_people_have_them() {
        let expected = (
            vec!["a".to_owned(), "b c".to_owned()],
            vec![vec![1.0, -2.5], vec![3e4, 0.5]],
        );
        let forms: [&[u8]; 12] = [
            b"a,b c\n1,-2.5\n3e4,.5\n",
            b"a,b c\n1,-2.5\n3e4,.5",
            b"a,b c\r\n1,-2.5\r\n3E+4,.5\r\n",
            b"a,b c\r1,-2.5\r3E4,.5\r",
            b"\xef\xbb\xbfa,b c\n1,-2.5\n3e4,0.5\n",
            b"\xef\xbb\xbf\"a\",\"b c\"\n\"1\",\"-2.5\"\n3e4,0.5\n",
            b"a;b c\n1;-2.5\n3e4;0.5\n",
            b"a\tb c\n1\t-2.5\n3e4\t0.5\n",
            b" a , b c \n 1 , -2.5 \n\t3e4, 0.5\n",
            b"\n\na,b c\n\n1,-2.5\n\n3e4,0.5\n\n\n",
            b"a,b c\n+1,-25e-1\n30000.0,5.e-1\n",
            b"a,b c\n\"1\r\n\",-2.5\n3e4,0.5\n",
        ];

        for form in forms {
            let shown = String::from_utf8_lossy(form);
            assert_eq!(parsed(form).unwrap(), expected, "{shown}");
        }
    }

    #[test]
    fn delimiters_in_quotes_do_not_count() {
        let (columns, rows) = parsed(b"\"a,b,c\";\"d,e\"\n1;2\n").unwrap();

        assert_eq!(columns, ["a,b,c", "d,e"]);
        assert_eq!(rows, [[1.0, 2.0]]);
    }

    #[test]
    fn flaws_are_told_with_their_line() {
        let utf16: Vec<u8> = "\u{feff}a,b\n1,2\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let cases: [(&[u8], &str); 24] = [
            (b"", "the file has no header"),
            (b"\n\r\n", "the file has no header"),
            (
                b"1,2\n3,4\n",
                "line 1: has numbers where the names of the columns belong",
            ),
            (b"a,b\n1,2\n3\n", "line 3: has 1 column instead of 2"),
            (b"a,b\n1,2,3\n", "line 2: has 3 columns instead of 2"),
            (b"a,b\n1,2\n\n3,x1\n", "line 4: b is not a number: x1"),
            (
                b"\n\na,b\r\n1,2\r\n\r\n3,x1\r\n",
                "line 6: b is not a number: x1",
            ),
            (b"a,b\r1,2\r\r3,x1\r", "line 4: b is not a number: x1"),
            (
                b"\xef\xbb\xbf\"a\n\",b\n\"1\n\",2\n3,x1",
                "line 5: b is not a number: x1",
            ),
            (b"a,b\n1,\n", "line 2: b is empty"),
            (b"a,b\nNaN,1\n", "line 2: a is NaN"),
            (b"a,b\n1,-inf\n", "line 2: b is infinite: -inf"),
            (b"a,b\n1,1e999\n", "line 2: b is infinite: 1e999"),
            (b"a,b\n1,Infinity\n", "line 2: b is infinite: Infinity"),
            (b"a,b\n1,0x10\n", "line 2: b is not a number: 0x10"),
            (b"a;b\n1;2,5\n", "line 2: b is not a number: 2,5"),
            (b"a,b\n1,1_000\n", "line 2: b is not a number: 1_000"),
            (b"a,\n1,2\n", "line 1: column 2 has no name"),
            (b"a, a \n1,2\n", "line 1: two columns are called a"),
            (
                b"a,\xb0\xa1\n1,2\n",
                "line 1: is not UTF-8: save the file as CSV in UTF-8",
            ),
            (b"a,b\n1,\xb0\xa1\n", "line 2: b is not UTF-8"),
            (
                b"a,b\x07\n1,2\n",
                "line 1: the name of column 2 has control characters",
            ),
            (
                &utf16,
                "the file is in UTF-16, or no text at all: save it as CSV in UTF-8",
            ),
            (
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
                "the file is in UTF-16, or no text at all: save it as CSV in UTF-8",
            ),
        ];

        for (text, sentence) in cases {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(parsed(text).unwrap_err(), sentence, "{shown}");
        }
    }

    #[test]
    fn a_table_may_be_only_so_wide_and_a_row_only_so_long() {
        let names = |count: usize| (0..count).map(|n| format!("x{n}")).collect::<Vec<_>>();
        let widest = names(MOST_COLUMNS).join(",");
        let too_wide = names(2_000).join(",");

        assert_eq!(parsed(widest.as_bytes()).unwrap().0.len(), MOST_COLUMNS);
        assert_eq!(
            parsed(too_wide.as_bytes()).unwrap_err(),
            "line 1: has 2000 columns, and 500 are the most"
        );
        let long = "x".repeat(257);
        assert_eq!(
            parsed(format!("a,{long}").as_bytes()).unwrap_err(),
            "line 1: the name of column 2 has more than 256 characters"
        );
        let endless = "does not end within 1048576 bytes; is a quote not closed?";
        let line = [b"a,b\n1,2\n".to_vec(), vec![b'1'; 3 << 20]].concat();
        assert_eq!(parsed(&line).unwrap_err(), format!("line 3: {endless}"));
        let quote = [b"a,b\n1,\"2\n".to_vec(), b"3,4\n".repeat(1 << 19)].concat();
        assert_eq!(parsed(&quote).unwrap_err(), format!("line 2: {endless}"));
    }

    #[test]
    fn a_line_of_a_gigabyte_is_given_up_early() {
        /// Endless, and notes how much was taken.
        struct Endless(usize);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(b'7');
                self.0 += buffer.len();
                Ok(buffer.len())
            }
        }
        impl Seek for Endless {
            fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
                Ok(0)
            }
        }
        let content = Bounded {
            content: Endless(0),
            given: 0,
        };
        let mut dataset = Dataset {
            start: 0,
            reader: ReaderBuilder::new().from_reader(content),
            columns: vec!["a".to_owned()],
            record: ByteRecord::new(),
        };

        let refused = dataset.reader.read_byte_record(&mut dataset.record);

        assert!(refused.is_err());
        let taken = dataset.reader.get_ref().content.0;
        assert!(taken < LONGEST_ROW + 3 * CHUNK, "{taken}");
    }
}
