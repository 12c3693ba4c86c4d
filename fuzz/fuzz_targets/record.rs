#![no_main]

use tokenwatch_fuzz::{decode, event};

#[path = "../targets.rs"]
mod targets;

/// The kind of record this program is called after.
const NAME: &str = env!("CARGO_BIN_NAME");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for decoder in decode::DECODERS.iter().filter(|kind| targets::word(kind.name) == NAME) {
        targets::record(decoder, bytes).iter().for_each(targets::texts);
    }
});
