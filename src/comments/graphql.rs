//! comments in the schema (being built).
