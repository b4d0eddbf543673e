//! Replays captured exchanges (being built).
pub mod pace;
pub mod window;
