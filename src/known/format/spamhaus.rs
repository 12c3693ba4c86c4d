//! Spamhaus DROP: one JSON object a line, with `cidr` or `asn`, and at the end how many there are.

use serde::Deserialize;

use super::{Broken, Draft, Format};

pub(super) const FORMAT: Format =
    Format { name: "spamhaus-json", expected: "one JSON object a line, with cidr or asn", read };

#[derive(Deserialize)]
struct Line {
    cidr: Option<String>,
    asn: Option<u32>,
    r#type: Option<String>,
    /// In the last line: how many came before.
    records: Option<usize>,
}

fn read(text: &str, draft: &mut Draft) -> Result<(), Broken> {
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let Ok(read) = serde_json::from_str::<Line>(line) else {
            draft.skip(format_args!("line {number}"), line, "no such object");
            continue;
        };
        match (read.cidr, read.asn) {
            (Some(cidr), _) => draft.network(format_args!("line {number}"), &cidr),
            (None, Some(asn)) => draft.asn(asn),
            (None, None) if read.r#type.as_deref() == Some("metadata") => {
                if let Some(records) = read.records.filter(|records| *records != draft.met()) {
                    let message = format!(
                        "line {number} counts {records} entries, there are {}",
                        draft.met()
                    );
                    return Err(Broken::new(message, "load it again; it is not complete"));
                }
            }
            (None, None) => draft.skip(format_args!("line {number}"), line, "neither cidr nor asn"),
        }
    }
    Ok(())
}
