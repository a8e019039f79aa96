//! Assembly (being built).
