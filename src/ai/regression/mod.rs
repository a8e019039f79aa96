//! Linear regression by least squares, of any number of rows in bounded memory.
//!
//! Rows gather in a block. A full block is reduced to the triangular factor of its QR decomposition, which has the same
//! least-squares solution, and the next rows are put below it. linfa solves the last one. Columns are scaled by powers of
//! two, which is exact, so that squares neither overflow nor vanish.

use linfa::{Dataset, traits::Fit};
use linfa_linalg::qr::QRInto;
use linfa_linear::LinearRegression;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, ShapeBuilder, Slice};

use crate::random::Random;

/// Numbers in a block: 256 KiB, which a core's cache holds.
const BLOCK: usize = 32_768;
/// A column is a combination of others if what they leave of it is less than this part of it. Householder's QR leaves
/// some 1e-16 for each block; the worst of NIST's data sets has 1e-10.
const NOTHING: f64 = 1e-12;

/// Rows of a linear regression, reduced to a triangle.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Columns: 1, the features, the target. On top the triangle so far, whose columns are scaled.
    block: Array2<f64>,
    /// Rows of the block in use, and those of them that are the triangle.
    used: usize,
    triangle: usize,
    /// Columns of the triangle are divided by two to the power of these.
    exponents: Vec<i32>,
    count: u64,
}

/// Why there is no single solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsolvable {
    /// Fewer rows than coefficients.
    TooFewRows { rows: u64, coefficients: usize },
    /// The feature with this number has the same value in all rows.
    Constant(usize),
    /// It is a linear combination of the features before it.
    Dependent(usize),
    /// Coefficients or residuals are beyond the range of numbers.
    OutOfRange,
}

/// The solution.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    pub intercept: f64,
    pub coefficients: Vec<f64>,
}

/// How well a solution fits rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The root of the mean square error.
    pub rmse: f64,
    /// The coefficient of determination. Where the target does not vary, 1 for a perfect fit and 0 otherwise.
    pub r2: f64,
}

impl Quality {
    /// From sums of squares, of `rows` rows: of the residuals, of the target's distances to its mean, and of the target
    /// itself.
    #[must_use]
    pub fn of(residuals: f64, distances: f64, targets: f64, rows: u64) -> Self {
        let nothing = NOTHING * NOTHING * targets;
        let r2 = match (residuals <= nothing, distances <= nothing) {
            (true, true) => 1.0,
            (false, true) => 0.0,
            (_, false) => 1.0 - residuals / distances,
        };
        Self {
            rmse: (residuals / rows as f64).sqrt(),
            r2,
        }
    }
}

impl Rows {
    /// No rows, of so many features.
    #[must_use]
    pub fn new(features: usize) -> Self {
        let width = features + 2;
        let rows = (BLOCK / width).max(width) + width;
        Self {
            // By columns, since the decomposition goes through them.
            block: Array2::zeros((rows, width).f()),
            used: 0,
            triangle: 0,
            exponents: vec![LOWEST; width],
            count: 0,
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds a row: the features, then the target. All are finite.
    pub fn push(&mut self, row: &[f64]) {
        if self.used == self.block.nrows() {
            self.reduce();
        }
        let at = self.used;
        self.block[[at, 0]] = 1.0;
        for (n, value) in row.iter().enumerate() {
            self.block[[at, n + 1]] = *value;
        }
        self.used += 1;
        self.count += 1;
    }

    /// Makes one triangle of all rows.
    fn reduce(&mut self) {
        let width = self.block.ncols();
        // Rows of zeros change nothing, and the decomposition asks for as many rows as columns.
        let rows = self.used.max(width);
        let unused = Slice::from(self.used..rows);
        self.block.slice_axis_mut(Axis(0), unused).fill(0.0);
        for (n, exponent) in self.exponents.iter_mut().enumerate() {
            let (mut old, new) = self.block.column_mut(n).split_at(Axis(0), self.triangle);
            let (mut new, _) = new.split_at(Axis(0), self.used - self.triangle);
            let largest = new
                .iter()
                .fold(0.0_f64, |most, value| most.max(value.abs()));
            let needed = exponent_of(largest).max(*exponent);
            let (grown, factor) = (power(*exponent - needed), power(-needed));
            new.mapv_inplace(|value| value * factor);
            if needed > *exponent {
                old.mapv_inplace(|value| value * grown);
                *exponent = needed;
            }
        }
        let block = self.block.slice_axis_mut(Axis(0), Slice::from(..rows));
        if let Ok(decomposed) = block.qr_into() {
            // In place: the top of the block is the triangle now.
            decomposed.into_r();
        }
        self.used = width;
        self.triangle = width;
    }

    /// The triangle of all rows, and the exponents of its columns.
    fn reduced(&mut self) -> (ArrayView2<'_, f64>, &[i32]) {
        self.reduce();
        let triangle = self.block.slice_axis(Axis(0), Slice::from(..self.triangle));
        (triangle, &self.exponents)
    }

    /// The coefficients with the least squares of residuals.
    ///
    /// # Errors
    /// When there is no single solution.
    pub fn solve(&mut self) -> Result<Solution, Unsolvable> {
        let width = self.block.ncols();
        let coefficients = width - 1;
        if self.count < coefficients as u64 {
            return Err(Unsolvable::TooFewRows {
                rows: self.count,
                coefficients,
            });
        }
        let (triangle, exponents) = self.reduced();
        for n in 1..coefficients {
            let column = triangle.column(n);
            let whole = column.dot(&column);
            let least = NOTHING * NOTHING * whole;
            if varying(column) <= least {
                return Err(Unsolvable::Constant(n - 1));
            }
            if column[n] * column[n] <= least {
                return Err(Unsolvable::Dependent(n - 1));
            }
        }
        let records = triangle
            .slice_axis(Axis(1), Slice::from(..coefficients))
            .to_owned();
        let targets = triangle.column(coefficients).to_owned();
        // The intercept is a column.
        let regression = LinearRegression::new().with_intercept(false);
        let fitted = regression.fit(&Dataset::new(records, targets));
        let fitted = fitted.map_err(|_| Unsolvable::OutOfRange)?;
        let target = exponents[coefficients];
        let scaled = fitted.params().iter().zip(exponents);
        let mut all = scaled.map(|(value, exponent)| scale(*value, target - exponent));
        let solution = Solution {
            intercept: all.next().unwrap_or_default(),
            coefficients: all.collect(),
        };
        let is_finite = solution.coefficients.iter().all(|value| value.is_finite());
        match is_finite && solution.intercept.is_finite() {
            true => Ok(solution),
            false => Err(Unsolvable::OutOfRange),
        }
    }

    /// How well `solution`, of these rows or others, fits these.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn quality(&mut self, solution: &Solution) -> Result<Quality, Unsolvable> {
        let count = self.count;
        let (triangle, exponents) = self.reduced();
        let last = exponents.len() - 1;
        let target = exponents[last];
        // All in the scale of the target, so that squares stay in range.
        let weights: Vec<f64> = std::iter::once(&solution.intercept)
            .chain(&solution.coefficients)
            .zip(exponents)
            .map(|(value, exponent)| scale(*value, exponent - target))
            .chain([-1.0])
            .collect();
        let residuals = triangle.outer_iter().map(|row| {
            let sum: f64 = row.iter().zip(&weights).map(|(a, b)| a * b).sum();
            sum * sum
        });
        let residuals: f64 = residuals.sum();
        let targets = triangle.column(last);
        let quality = Quality::of(residuals, varying(targets), targets.dot(&targets), count);
        let quality = Quality {
            rmse: scale(quality.rmse, target),
            ..quality
        };
        match quality.rmse.is_finite() && quality.r2.is_finite() {
            true => Ok(quality),
            false => Err(Unsolvable::OutOfRange),
        }
    }
}

/// The sum of squares of what the first column, of ones, leaves of a column.
fn varying(column: ArrayView1<'_, f64>) -> f64 {
    column.iter().skip(1).map(|value| value * value).sum()
}

/// The least exponent of a column: of one of zeros.
const LOWEST: i32 = -1_000;

/// An exponent whose power of two is about as large as `value`.
fn exponent_of(value: f64) -> i32 {
    if value == 0.0 {
        return LOWEST;
    }
    (value.log2() as i32).clamp(LOWEST, 1_000)
}

/// Two to the power of `exponent`; zero below the range of numbers.
fn power(exponent: i32) -> f64 {
    scale(1.0, exponent)
}

/// `value` times two to the power of `exponent`, without rounding in between.
fn scale(value: f64, exponent: i32) -> f64 {
    let step = |exponent: i32| f64::from_bits(u64::try_from(exponent + 1_023).unwrap_or(0) << 52);
    let first = exponent.clamp(-1_000, 1_000);
    let second = (exponent - first).clamp(-1_000, 1_000);
    value * step(first) * step(second)
}

/// Which rows are for testing: a share of every ten, chosen at random. The same for the same seed.
#[derive(Debug)]
pub struct Split {
    random: Random,
    share: f64,
    /// Rows so far.
    rows: u64,
    /// Whether the next rows are for testing, the last one first.
    next: Vec<bool>,
}

/// The rows that are dealt together.
const DEALT: usize = 10;

impl Split {
    /// `share` of the rows, more than 0 and less than 1, is for testing.
    #[must_use]
    pub fn new(share: f64, seed: i32) -> Self {
        Self {
            random: Random::new(u64::from(seed.cast_unsigned()), "split"),
            share,
            rows: 0,
            next: Vec::with_capacity(DEALT),
        }
    }

    /// Whether the next row is for testing.
    pub fn is_test(&mut self) -> bool {
        if self.next.is_empty() {
            let tests = |rows: u64| (self.share * rows as f64).round();
            let end = self.rows + DEALT as u64;
            let count = (tests(end) - tests(self.rows)) as usize;
            self.next.extend((0..DEALT).map(|n| n < count));
            for n in (1..DEALT).rev() {
                self.next.swap(n, self.random.below(n + 1));
            }
        }
        self.rows += 1;
        self.next.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
