//! tokenwatch
pub mod event;
pub mod time;
pub mod money;
pub mod failpoint;
pub mod decode;
pub mod price;
pub mod aggregate;
pub mod detect;
pub mod incident;
pub mod engine;
pub mod source;
pub mod store;
pub mod notify;
pub mod emulator;
pub mod telemetry;
pub mod pipeline;
pub mod cli;
