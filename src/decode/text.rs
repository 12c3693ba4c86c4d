//! Text out of records: short, on one line, without anything invisible.

use sha2::{Digest as _, Sha256};

/// Longest name kept (Azure allows 64 characters for a deployment, 90 for a resource group).
pub const MAX_NAME_CHARS: usize = 128;
/// Longest resource id kept (the longest seen, a role assignment under a project, has 400).
pub const MAX_RESOURCE_CHARS: usize = 512;
/// Longest identifier kept: GUIDs have 36 characters, ids of Defender's alerts 56.
pub const MAX_ID_CHARS: usize = 80;

/// `text` without its outer blanks and without hidden characters, at most `max` characters.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    let text = text.trim();
    if text.len() <= max && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return text.to_owned();
    }
    text.chars().filter(|c| !is_hidden(*c)).take(max).collect()
}

/// A name in lower case.
#[must_use]
pub fn name(text: &str) -> String {
    lower(text, MAX_NAME_CHARS)
}

/// [`clean`] in lower case.
fn lower(text: &str, max: usize) -> String {
    let text = text.trim();
    if text.len() <= max && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return text.to_ascii_lowercase();
    }
    clean(text, max).to_lowercase()
}

/// A resource id in lower case, without a slash at its end.
#[must_use]
pub fn resource(text: &str) -> String {
    let mut lower = lower(text, MAX_RESOURCE_CHARS);
    lower.truncate(lower.trim_end_matches('/').len());
    lower
}

/// An identifier in lower case; one of 32 hexadecimal digits gets the dashes of a GUID.
#[must_use]
pub fn id(text: &str) -> String {
    let lower = lower(text, MAX_ID_CHARS);
    if lower.len() != 32 || !lower.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return lower;
    }
    let part = |from, to| lower.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// A name that may be a mail address, which is then replaced by its hash.
#[must_use]
pub fn nobody(text: &str) -> String {
    let cleaned = clean(text, MAX_NAME_CHARS);
    if !cleaned.contains('@') && !cleaned.to_ascii_lowercase().contains("%40") {
        return cleaned;
    }
    let digest = Sha256::digest(cleaned.to_lowercase().as_bytes());
    let head: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("mail {head}")
}

/// True when `text` begins with `start`, in any case.
#[must_use]
pub fn begins(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// The host of a URL, in lower case and without port; empty when there is none.
#[must_use]
pub fn host(url: &str) -> String {
    let after = url.trim().split_once("://").map_or("", |(_, after)| after);
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    name(host.split(':').next().unwrap_or_default())
}

/// Control characters, characters of no width, and those that turn the direction of text.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            u32::from(c),
            0xAD | 0x61C
                | 0x115F..=0x1160
                | 0x17B4..=0x17B5
                | 0x180B..=0x180F
                | 0x200B..=0x200F
                | 0x2028..=0x202E
                | 0x2060..=0x206F
                | 0x3164
                | 0xFE00..=0xFE0F
                | 0xFEFF
                | 0xFFA0
                | 0xFFF0..=0xFFFB
                | 0xE0000..=0xE0FFF
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_taken_out() {
        for (text, expected) in [
            (" chat-prod ", "chat-prod"),
            ("a\r\nb\tc", "abc"),
            ("\u{1b}[31mred\u{1b}[0m", "[31mred[0m"),
            ("\u{202e}dorp-tahc", "dorp-tahc"),
            ("a\u{200b}\u{feff}\u{2066}b\u{2029}", "ab"),
            ("größe-日本", "größe-日本"),
        ] {
            assert_eq!(clean(text, 64), expected, "{text:?}");
        }
        assert_eq!(clean(&"x".repeat(200), 64).len(), 64);
    }

    #[test]
    fn ids_and_hosts_are_brought_into_one_form() {
        assert_eq!(id("D3C8B2E16F704B8C9DAE1F2A3B4C5D6E"), "d3c8b2e1-6f70-4b8c-9dae-1f2a3b4c5d6e");
        assert_eq!(id("d3c8b2e1-6f70-4b8c-9dae-1f2a3b4c5d6e").len(), 36);
        assert_eq!(resource("/Sub/A/"), "/sub/a");
        for (url, expected) in [
            ("https://Aif.OpenAI.azure.com/openai?key=1", "aif.openai.azure.com"),
            ("https://user:secret@host.example:8443/x", "host.example"),
            ("host.example/x", ""),
            ("", ""),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn mail_addresses_are_not_kept() {
        assert_eq!(nobody("team-billing"), "team-billing");
        let hashed = nobody("Ada@contoso.example");
        assert!(hashed.starts_with("mail ") && !hashed.contains("ada"), "{hashed}");
        assert_eq!(hashed, nobody("ada@contoso.example"));
        assert!(nobody("ada%40contoso.example").starts_with("mail "));
    }
}
