#![no_main]

use tokenwatch_fuzz::{decode, event, known};

#[path = "../targets.rs"]
mod targets;

/// What this program is called: a kind of record or of file, or `body`.
const NAME: &str = env!("CARGO_BIN_NAME");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((_, holds)) = targets::files().into_iter().find(|(name, _)| targets::word(name) == NAME) {
        targets::file(holds, bytes);
        return;
    }
    let kind = decode::DECODERS.into_iter().find(|kind| targets::word(kind.name) == NAME);
    let Some(kind) = kind else {
        targets::body(bytes).events.iter().for_each(targets::texts);
        return;
    };
    // Through the envelope, so that the samples are seeds as they are.
    decode::envelope::open(bytes, &mut |piece| {
        if let decode::envelope::Piece::Record(text, _) = piece {
            targets::record(kind, text.as_bytes()).iter().for_each(targets::texts);
        }
    })
    .ok();
});
