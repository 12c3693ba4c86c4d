//! The decoders alone, so that fuzzing compiles in seconds.

#[path = "../src/decode/mod.rs"]
pub mod decode;
#[path = "../src/event/mod.rs"]
pub mod event;
#[path = "../src/time.rs"]
pub mod time;

