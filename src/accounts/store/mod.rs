//! The only rooms that read or write `users`, `sign_in_sessions`, `refresh_tokens` and `sign_in_addresses`.

mod addresses;
pub mod page;
pub mod sessions;
pub mod users;

use crate::{app::App, bus::Topic, ids::UserId};

/// Rights of `user` have changed and are committed: this server forgets what it knew, the others and all sockets hear of
/// it.
fn rights_changed(app: &App, user: UserId) {
    app.rights.forget(user);
    app.bus.publish(Topic::Rights, user.uuid());
}
