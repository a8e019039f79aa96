//! All tests that need more than one room: one binary, a file per feature.

mod support;

mod access;
mod accounts;
mod architecture;
mod boards;
mod commands;
mod comments;
mod contract;
mod db;
mod house;
mod http;
mod posts;
mod sessions;
