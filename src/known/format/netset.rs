//! One network or address a line, comments behind `#` or `;`: how most lists are published.

use super::{Broken, Draft, Format};

pub(super) const FORMAT: Format =
    Format { name: "netset", expected: "text with one network or address a line", read };

#[expect(clippy::unnecessary_wraps, reason = "the signature of every format")]
fn read(text: &str, draft: &mut Draft) -> Result<(), Broken> {
    for (number, line) in (1..).zip(text.lines()) {
        let entry = line.split(['#', ';']).next().unwrap_or_default().trim();
        if !entry.is_empty() {
            draft.network(format_args!("line {number}"), entry);
        }
    }
    Ok(())
}
