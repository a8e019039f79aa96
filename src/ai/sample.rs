//! `AI_test.csv`, a data set to try models with: the same on every machine. It is used where no other is uploaded.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::random::Random;

const ROWS: usize = 10_000;
const SEED: u64 = 8;
/// The coefficients of x0 to x7, in twentieths, so that the sum is exact: 4, 5, 2, 7, 0.1, 15, 0.05 and 1.
const TWENTIETHS: [u64; 8] = [80, 100, 40, 140, 2, 300, 1, 20];

/// Where the file is. It is made if it is missing.
///
/// # Errors
/// When it cannot be written.
pub fn path(volume: &Path) -> io::Result<PathBuf> {
    let folder = volume.join("staticfile");
    let path = folder.join("AI_test.csv");
    if path.try_exists()? {
        return Ok(path);
    }
    fs::create_dir_all(&folder)?;
    // Under another name first, so that nobody reads a part.
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    let mut out = BufWriter::new(&mut file);
    write(&mut out)?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(path)
}

fn write(out: &mut impl Write) -> io::Result<()> {
    let mut random = Random::new(SEED, "AI_test.csv");
    writeln!(out, "x0,x1,x2,x3,x4,x5,x6,x7,y")?;
    for _ in 0..ROWS {
        let mut sum = 0;
        for twentieths in TWENTIETHS {
            // From 0 to 100 000, in thousandths.
            let x = random.below(100_000_001) as u64;
            sum += twentieths * x;
            write!(out, "{}.{:03},", x / 1_000, x % 1_000)?;
        }
        // The sum is in twentieths of thousandths.
        writeln!(out, "{}.{:05}", sum / 20_000, sum % 20_000 * 5)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ai::dataset::Dataset;

    #[test]
    fn each_row_obeys_the_formula_and_the_file_is_made_again_when_it_is_missing() {
        let volume = tempfile::tempdir().unwrap();
        let first = path(volume.path()).unwrap();
        let text = fs::read(&first).unwrap();
        fs::remove_file(&first).unwrap();
        let again = fs::read(path(volume.path()).unwrap()).unwrap();
        let mut dataset = Dataset::open(io::Cursor::new(&text)).unwrap();
        let mut row = [0.0; 9];
        let mut rows = 0;

        while dataset
            .read(&[0, 1, 2, 3, 4, 5, 6, 7, 8], &mut row)
            .unwrap()
        {
            let [x0, x1, x2, x3, x4, x5, x6, x7, y] = row;
            let sum =
                4.0 * x0 + 5.0 * x1 + 2.0 * x2 + 7.0 * x3 + 0.1 * x4 + 15.0 * x5 + 0.05 * x6 + x7;
            assert!((sum - y).abs() <= 1e-9 * y, "{sum} {y}");
            assert!(row[..8].iter().all(|x| (0.0..=100_000.0).contains(x)));
            rows += 1;
        }

        assert_eq!(dataset.columns().join(","), "x0,x1,x2,x3,x4,x5,x6,x7,y");
        assert_eq!(rows, ROWS);
        assert!(text == again);
    }

    #[test]
    fn a_file_that_is_there_stays_as_it_is() {
        let volume = tempfile::tempdir().unwrap();
        let file = path(volume.path()).unwrap();
        fs::write(&file, "a,y\n").unwrap();

        let kept = path(volume.path()).unwrap();

        assert_eq!(fs::read_to_string(kept).unwrap(), "a,y\n");
    }
}
