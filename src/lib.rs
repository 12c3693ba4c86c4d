//! tokenwatch
pub mod event;
pub mod time;
pub mod money;
pub mod decode;
pub mod incident;
