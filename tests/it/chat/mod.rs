//! Chat: sessions, who takes part, what is said, and what subscribers get.

mod sessions;
mod talk;
