//! tokenwatch
#![warn(missing_docs)]
pub mod time;
pub mod money;
pub mod incident;
pub mod notify;
