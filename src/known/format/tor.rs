//! Exits of the Tor network: addresses line by line (the bulk list), or the records of the exit list
//! with `ExitAddress ADDRESS DAY TIME` among lines that say when and who.

use super::{Broken, Draft, Format};

pub(super) const FORMAT: Format =
    Format { name: "tor-exit", expected: "the Tor project's list of exit addresses", read };

/// Lines of a record that hold no address.
const OTHERS: [&str; 4] = ["ExitNode", "Published", "LastStatus", "Downloaded"];

#[expect(clippy::unnecessary_wraps, reason = "the signature of every format")]
fn read(text: &str, draft: &mut Draft) -> Result<(), Broken> {
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let first = line.split_whitespace().next().unwrap_or_default();
        if first.is_empty() || first.starts_with('#') || OTHERS.contains(&first) {
            continue;
        }
        let entry = match line.strip_prefix("ExitAddress ") {
            Some(rest) => rest.split_whitespace().next().unwrap_or_default(),
            None => line,
        };
        draft.network(format_args!("line {number}"), entry);
    }
    Ok(())
}
