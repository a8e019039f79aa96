//! madang (마당, the yard where a village meets): a community backend in one binary, behind one GraphQL schema.
//!
//! Imports only go down. A module imports from its own floor and from the floors below it, and no imports form a circle. A
//! `graphql.rs` may use the types and the store of every feature, but never another feature's `graphql.rs`. Each table has an
//! owner. docs/ARCHITECTURE.md has the picture.

pub mod demo;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod server;

pub mod accounts;
pub mod ai;
pub mod boards;
pub mod chat;
pub mod comments;
pub mod files;
pub mod jobs;
pub mod posts;

pub mod access;
pub mod app;
pub mod context;
pub mod fanout;
pub mod list;
pub mod loader;
pub mod memory;
pub mod watch;
pub mod work;

pub mod blobs;
pub mod budget;
pub mod bus;
pub mod cache;
pub mod db;
pub mod documents;
pub mod queue;
pub mod redis;

pub mod by_type;
pub mod clock;
pub mod config;
pub mod connection;
pub mod counts;
pub mod cpu;
pub mod direct;
pub mod error;
pub mod ids;
pub mod input;
pub mod keys;
pub mod logging;
pub mod random;
pub mod rounds;
pub mod terms;
pub mod text;
