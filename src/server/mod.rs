//! Assembly (being built).
pub mod schema;
