//! `spend.csv`: one line a day, deployment and model, amounts in nano-USD.

use crate::report::facts::{Amounts, Facts};

/// Names of the columns.
pub const COLUMNS: [&str; 22] = [
    "day",
    "from",
    "until",
    "account",
    "deployment",
    "model",
    "sku",
    "owner",
    "calls",
    "tokens_input",
    "tokens_cached",
    "tokens_output",
    "cost_nano_usd",
    "unpriced_tokens",
    "provisioned_tokens",
    "calls_without_tokens",
    "attributed_tokens",
    "attributed_nano_usd",
    "estimated_tokens_input",
    "estimated_tokens_output",
    "estimated_nano_usd",
    "price_book",
];

/// The table of the week.
///
/// # Errors
/// Never while memory lasts.
pub fn csv(facts: &Facts) -> Result<String, csv::Error> {
    let rows = facts.week_days().flat_map(|day| {
        day.lines.iter().map(move |(key, sum)| {
            let place = key.place();
            let owner = facts.owners.of(&place.0, &place.1).map(|owner| owner.name.clone());
            let local = |minute: crate::time::Minute| facts.zone.local(minute.start());
            let mut row = vec![
                day.period.name.clone(),
                local(day.period.from),
                local(day.period.until),
                harmless(&key.account),
                harmless(&key.deployment),
                harmless(&key.model),
                facts.skus.get(&place).cloned().unwrap_or_default(),
                owner.unwrap_or_default(),
            ];
            row.extend(numbers(&sum.amounts()));
            row.push(facts.book.clone());
            row
        })
    });
    write(&COLUMNS, rows)
}

fn numbers(amounts: &Amounts) -> [String; 13] {
    [
        amounts.calls.to_string(),
        amounts.tokens_input.to_string(),
        amounts.tokens_cached.to_string(),
        amounts.tokens_output.to_string(),
        amounts.cost_nano_usd.0.to_string(),
        amounts.unpriced_tokens.to_string(),
        amounts.provisioned_tokens.to_string(),
        amounts.calls_without_tokens.to_string(),
        amounts.attributed_tokens.to_string(),
        amounts.attributed_nano_usd.0.to_string(),
        amounts.estimated_tokens_input.to_string(),
        amounts.estimated_tokens_output.to_string(),
        amounts.estimated_nano_usd.map_or_else(String::new, |cost| cost.0.to_string()),
    ]
}

/// A table with a heading.
pub(super) fn write(
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A name that somebody else chose, as no spreadsheet takes it for a formula: such a file arrives by
/// mail and is opened by a double click.
pub(super) fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}
