//! boards in the schema (being built).
