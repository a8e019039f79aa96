//! Chat in the schema.

mod people;
mod session;

pub use self::{
    people::PeopleMutation,
    session::{ChatParticipantConnection, SessionMutation, SessionQuery},
};
