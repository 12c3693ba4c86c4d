//! A report for people (HTML, text) and for programs (JSON, a tidy table, FOCUS), and all of it as one
//! mail.

pub mod focus;
pub mod html;
pub mod mail;
pub mod picture;
pub mod table;
pub mod text;

use super::Report;

/// As JSON, amounts in nano-USD.
///
/// # Errors
/// Never with the types of a report.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    Ok(format!("{}\n", serde_json::to_string_pretty(report)?))
}
