//! `[store]`: what the database may hold.

use super::section::{Section, Walk};
use crate::store::StoreSettings;

pub(super) const STORE: &[&str] = &["max_bytes"];

/// Fewer bytes hold no fleet's totals.
const LEAST_BYTES: u64 = 10_000_000;

/// Reads `[store]`.
pub(super) fn store(section: Option<Section<'_>>, walk: &mut Walk<'_>) -> StoreSettings {
    let mut settings = StoreSettings::default();
    let Some(section) = section else { return settings };
    if let Some(text) = section.text("max_bytes", walk) {
        settings.max_bytes = bytes(&text);
        let wrong = match settings.max_bytes {
            None => Some((format!("`max_bytes`: {text:?} is no number of bytes"), MEND)),
            Some(bytes) if bytes < LEAST_BYTES => {
                Some((format!("`max_bytes` = {text:?} is too little"), "write \"10 MB\" or more"))
            }
            Some(_) => None,
        };
        if let Some((message, mend)) = wrong {
            walk.findings.report(section.value_at("max_bytes"), message, mend);
        }
    }
    settings
}

const MEND: &str =
    "write a whole number and a unit: MB, GB, TB (or MiB, GiB, TiB), such as \"2 GB\"";

fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.trim() {
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!(bytes("2 GB"), Some(2_000_000_000));
        assert_eq!(bytes("512MiB"), Some(512 << 20));
        for wrong in ["", "2", "GB", "2 gb", "1.5 GB", "-2 GB", "99999999999999 TB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
