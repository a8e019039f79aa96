//! The store of accounts: owns `users`, `sign_in_sessions`, `refresh_tokens` and `sign_in_addresses`.

mod addresses;
pub mod page;
pub mod refresh;
pub mod sessions;
pub mod sign_in;
pub mod sweep;
pub mod users;
