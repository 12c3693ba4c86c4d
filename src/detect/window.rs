//! The longest prompt that a model takes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// `model,tokens`; `models/README.md` says where it is from.
const TABLE: &str = include_str!("../../models/windows.csv");

static WINDOWS: LazyLock<BTreeMap<&'static str, u32>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter_map(|line| line.split_once(','));
    rows.filter_map(|(model, tokens)| Some((model, tokens.parse().ok()?))).collect()
});

/// Prompt tokens that fill the window of a model, given as `name` or `name@version`; `None` where no list says.
///
/// A version may have a window of its own: of the names that begin with the model and lead up to its version, the
/// longest that is listed counts (`gpt-4@turbo-2024-04-09` is `gpt-4-turbo`).
#[must_use]
pub fn window_of(model: &str) -> Option<u32> {
    let lower = model.to_ascii_lowercase();
    let (name, version) = lower.split_once('@').unwrap_or((&lower, ""));
    let whole = format!("{name}-{version}");
    let ends = whole.rmatch_indices('-').map(|(end, _)| end).filter(|end| *end >= name.len());
    let named = std::iter::once(whole.len()).chain(ends).filter_map(|end| whole.get(..end));
    named.filter_map(|named| WINDOWS.get(named)).next().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_may_have_its_own_window() {
        let check = |model, tokens| assert_eq!(window_of(model), tokens, "{model}");
        check("gpt-4o", Some(128_000));
        check("gpt-4o@2024-11-20", Some(128_000));
        check("GPT-4.1-Mini@2025-04-14", Some(1_047_576));
        check("gpt-4@0613", Some(8_192));
        check("gpt-4@turbo-2024-04-09", Some(128_000));
        check("gpt-4@1106-preview", Some(128_000));
        check("gpt-35-turbo@0125", Some(16_385));
    }

    #[test]
    fn a_model_nobody_lists_has_none() {
        for unknown in
            ["", "@", "gpt-4o-strange", "model-router", "text-embedding-3-large", "tokens"]
        {
            assert_eq!(window_of(unknown), None, "{unknown}");
        }
        assert_eq!(WINDOWS.len(), TABLE.lines().count() - 3);
        assert!(WINDOWS.values().all(|tokens| (4_096..=10_000_000).contains(tokens)));
    }
}
