//! A table with a column of networks or addresses; other columns are not read.

use super::{Broken, Draft, Format};

pub(super) const FORMAT: Format =
    Format { name: "csv", expected: "a table with a column network", read };

/// What the column is called in the tables that are about.
const COLUMNS: [&str; 8] =
    ["network", "cidr", "prefix", "ip_prefix", "range", "ip", "ip_address", "address"];
/// What may stand between columns; the first line says which.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

fn read(text: &str, draft: &mut Draft) -> Result<(), Broken> {
    let mut column = None;
    for record in rows(text).into_byte_records() {
        let Ok(record) = record else { continue };
        let line = record.position().map_or(0, ::csv::Position::line);
        let cell = |at: usize| String::from_utf8_lossy(record.get(at).unwrap_or_default());
        let at = match column {
            Some(at) => at,
            None => {
                let heading = (0..record.len()).find(|at| COLUMNS.contains(&&*name(&cell(*at))));
                column = Some(heading.unwrap_or(0));
                if heading.is_some() {
                    continue;
                }
                0
            }
        };
        let entry = cell(at);
        let blank = record.len() == 1 && cell(0).is_empty();
        if !blank {
            draft.network(format_args!("line {line}"), &entry);
        }
    }
    Ok(())
}

fn name(cell: &str) -> String {
    cell.to_ascii_lowercase()
}

/// Rows of a table whose first line shows how columns are told apart.
pub(in crate::known) fn rows(text: &str) -> ::csv::Reader<&[u8]> {
    let first = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
    let count = |delimiter: &u8| first.bytes().filter(|byte| byte == delimiter).count();
    let comma = DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',');
    ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(comma)
        .comment(Some(b'#'))
        .trim(::csv::Trim::All)
        .from_reader(text.as_bytes())
}
