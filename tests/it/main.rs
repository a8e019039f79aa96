//! All tests that need more than one room: one binary, a file per feature.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and is told by the environment what to run on"
)]

mod support;

mod access;
mod accounts;
mod ai;
mod architecture;
mod boards;
mod bounds;
mod chat;
mod commands;
mod comments;
mod connections;
mod contract;
mod counters;
mod crash;
mod db;
mod demo;
mod edits;
mod files;
mod house;
mod http;
mod likes;
mod lists;
mod live;
mod migrations;
mod orders;
mod ports;
mod posts;
mod readme;
mod search;
mod servers;
mod sessions;
mod unread;
mod views;
mod walks;
