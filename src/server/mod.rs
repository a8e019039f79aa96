//! Assembly (being built).
pub mod execution;
pub mod schema;
