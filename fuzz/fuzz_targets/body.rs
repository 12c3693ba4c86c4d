#![no_main]

use tokenwatch_fuzz::{decode, event};

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    targets::body(bytes).events.iter().for_each(targets::texts);
});
