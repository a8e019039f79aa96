//! Chat in the schema.

mod chat;
mod cursor;
mod people;
mod session;

pub use self::{
    chat::{ChatConnection, ChatMutation, ChatQuery},
    people::PeopleMutation,
    session::{ChatParticipantConnection, SessionMutation, SessionQuery},
};
