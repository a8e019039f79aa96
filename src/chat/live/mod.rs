//! Live chat: what happens in sessions as it happens. Messages of the bus are only hints to look; subscribers get what
//! the store has, in the order of its numbers.

mod badges;
mod keeper;
mod reader;
mod room;
mod shaped;
mod shared;
mod subscriber;

pub use self::{
    badges::badges,
    subscriber::{Delivery, Wish, subscribe},
};
