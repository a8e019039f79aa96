//! posts in the schema (being built).
