//! The decoders and the readers of lists alone, so that fuzzing compiles in seconds.

#[path = "../src/decode/mod.rs"]
pub mod decode;
#[path = "../src/event/mod.rs"]
pub mod event;
#[path = "../src/known/mod.rs"]
pub mod known;
#[path = "../src/time.rs"]
pub mod time;

