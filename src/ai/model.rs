//! A trained model as a file: a line with the version of the form and a checksum, then JSON.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::regression::Solution;

/// The form that this program writes, and the only one that it reads.
const VERSION: &str = "madang-model 1";

/// A linear model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    /// The names of the columns that it takes.
    pub features: Vec<String>,
    /// The name of the column that it predicts.
    pub target: String,
    pub intercept: f64,
    pub coefficients: Vec<f64>,
}

impl LinearModel {
    /// A model of these columns.
    #[must_use]
    pub fn new(features: Vec<String>, target: String, solution: &Solution) -> Self {
        Self {
            features,
            target,
            intercept: solution.intercept,
            coefficients: solution.coefficients.clone(),
        }
    }

    /// What it predicts for a row of as many numbers as it has features. It may be infinite.
    #[must_use]
    pub fn predict(&self, row: &[f64]) -> f64 {
        let terms = self.coefficients.iter().zip(row);
        self.intercept + terms.map(|(coefficient, x)| coefficient * x).sum::<f64>()
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let body = serde_json::to_string(self)?;
        Ok(format!("{VERSION} {}\n{body}", checksum(body.as_bytes())).into_bytes())
    }

    /// Reads its file.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence about it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        const DAMAGED: &str = "is damaged";
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(DAMAGED)?;
        let (head, body) = (&bytes[..end], &bytes[end + 1..]);
        let head = std::str::from_utf8(head).map_err(|_| DAMAGED)?;
        let (version, sum) = head.rsplit_once(' ').ok_or(DAMAGED)?;
        if version != VERSION {
            return Err(match version.starts_with("madang-model ") {
                true => "is of another version of this program",
                false => DAMAGED,
            });
        }
        if sum != checksum(body) {
            return Err(DAMAGED);
        }
        let model: Self = serde_json::from_slice(body).map_err(|_| DAMAGED)?;
        match model.features.len() == model.coefficients.len() {
            true => Ok(model),
            false => Err(DAMAGED),
        }
    }
}

/// SHA-256 in hexadecimal digits.
fn checksum(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> LinearModel {
        LinearModel {
            features: vec!["x0".to_owned(), "키".to_owned()],
            target: "y".to_owned(),
            intercept: 0.1 + 0.2,
            coefficients: vec![1.0 / 3.0, -5e-324],
        }
    }

    #[test]
    fn a_model_comes_back_from_its_file_to_the_last_bit() {
        let bytes = model().to_bytes().unwrap();

        assert_eq!(LinearModel::from_bytes(&bytes), Ok(model()));
    }

    #[test]
    fn a_file_with_any_byte_changed_or_any_end_missing_is_damaged() {
        let bytes = model().to_bytes().unwrap();

        for n in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[n] ^= 1;
            assert!(LinearModel::from_bytes(&changed).is_err(), "{n}");
            assert_eq!(LinearModel::from_bytes(&bytes[..n]), Err("is damaged"));
        }
        let newer = String::from_utf8(bytes)
            .unwrap()
            .replace("model 1", "model 2");
        let refused = LinearModel::from_bytes(newer.as_bytes());
        assert_eq!(refused, Err("is of another version of this program"));
    }

    #[test]
    fn a_prediction_is_the_sum_of_the_terms() {
        let model = LinearModel {
            intercept: 1.0,
            coefficients: vec![2.0, -3.0],
            ..model()
        };

        assert_eq!(model.predict(&[10.0, 0.5]), 19.5);
    }
}
