//! `[store]` and `[caller]`: what the database may hold, and what stays of callers.

use secrecy::ExposeSecret as _;

use super::section::{Section, Walk};
use crate::store::StoreSettings;
use crate::store::privacy::{CallerSettings, Privacy};

pub(super) const STORE: &[&str] = &["max_bytes"];
pub(super) const CALLER: &[&str] = &["privacy", "keep_days", "key"];

/// Fewer characters of a key can be found by trying.
const LEAST_KEY_CHARS: usize = 16;

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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Full,
    Prefix,
    Hmac,
}

/// Reads `[caller]`.
pub(super) fn caller(section: Option<Section<'_>>, walk: &mut Walk<'_>) -> CallerSettings {
    let mut settings = CallerSettings::default();
    let Some(section) = section else { return settings };
    // Late records correct calls of the last two days, which must still be as they were.
    if let Some(days) = section.whole("keep_days", 3..=396, walk) {
        settings.keep_days = days;
    }
    let forms = [("full", Form::Full), ("prefix", Form::Prefix), ("hmac", Form::Hmac)];
    let form = section.choice("privacy", &forms, walk);
    if form == Some(Form::Hmac) {
        section.require("key", "{ env = \"TOKENWATCH_CALLER_KEY\" }", walk);
    } else if section.has("key") {
        let mend = "write privacy = \"hmac\", or remove the key";
        walk.findings.report(section.key_at("key"), "`key` is for privacy = \"hmac\" alone", mend);
    }
    let key = section.secret("key", walk);
    let is_short = |key: &str| key.chars().count() < LEAST_KEY_CHARS;
    if key.as_ref().is_some_and(|key| is_short(key.expose_secret())) {
        let mend = "make one with: openssl rand -base64 32";
        walk.findings.report(section.key_at("key"), "`key` is shorter than 16 characters", mend);
    }
    settings.privacy = match (form, key) {
        (Some(Form::Prefix), _) => Privacy::Prefix,
        (Some(Form::Hmac), Some(key)) => Privacy::Hmac(key),
        // Without its key `hmac` has been reported.
        (Some(Form::Full | Form::Hmac) | None, _) => Privacy::Full,
    };
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
