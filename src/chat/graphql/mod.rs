//! Chat in the schema.

mod chat;
mod cursor;
mod events;
mod people;
mod session;

pub use self::{
    chat::{ChatConnection, ChatMutation, ChatQuery},
    events::{ChatEvent, ChatSubscription, SHAREABLE},
    people::PeopleMutation,
    session::{ChatParticipantConnection, SessionMutation, SessionQuery},
};
