//! Small numbers for the names of one account, bounded whatever callers invent.

use std::collections::HashMap;

/// The number of the empty name.
pub const NONE: u32 = 0;
/// The number every name beyond the bound of its kind gets.
pub const OTHER: u32 = 1;
/// How [`OTHER`] reads.
pub const OTHER_TEXT: &str = "(other)";

/// Bit of the number of a name's reduced form, which the store makes of old rows; numbers of names
/// themselves stay below it (years of a hundred thousand forgotten names).
pub const REDUCED: u32 = 1 << 23;

/// How an identity reads where successful calls were made with a key.
pub const KEY_TEXT: &str = "key";

/// What a name names; the number is stored and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// A deployment.
    Deployment = 0,
    /// A model, perhaps with its version.
    Model = 1,
    /// A caller's network.
    Network = 2,
    /// A caller's Entra object id.
    Identity = 3,
    /// A gateway.
    Gateway = 4,
    /// What a gateway calls its caller: subscription, product or user.
    Subject = 5,
}

impl NameKind {
    /// Every kind in the order of its stored number.
    pub const ALL: [Self; 6] = [
        Self::Deployment,
        Self::Model,
        Self::Network,
        Self::Identity,
        Self::Gateway,
        Self::Subject,
    ];

    /// Most names of this kind one account may bring; later ones share [`OTHER`]. Their sum stays below
    /// 2²⁴ (see `rollup::Caller`).
    /// Azure allows 32 deployments per account by default and 2,000 at most seen; networks and
    /// identities are what an attacker can multiply.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            Self::Deployment => 2_000,
            Self::Model | Self::Gateway => 1_000,
            Self::Network | Self::Identity | Self::Subject => 100_000,
        }
    }

    /// The kind stored as `number`.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|place| Self::ALL.get(place)).copied()
    }
}

/// The names of one account and their numbers, in order of first appearance.
#[derive(Debug, Clone)]
pub struct Names {
    texts: Vec<(NameKind, String)>,
    numbers: HashMap<(NameKind, String), u32>,
    counts: [usize; NameKind::ALL.len()],
    saved: usize,
}

impl Default for Names {
    fn default() -> Self {
        let reserved = |text: &str| (NameKind::Deployment, text.to_owned());
        Self {
            texts: vec![reserved(""), reserved(OTHER_TEXT)],
            numbers: HashMap::new(),
            counts: [0; NameKind::ALL.len()],
            saved: 2,
        }
    }
}

impl Names {
    /// The number of `text`, given now if it is new.
    pub fn number(&mut self, kind: NameKind, text: &str) -> u32 {
        if text.is_empty() {
            return NONE;
        }
        let key = (kind, text.to_owned());
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let Some(count) = self.counts.get_mut(kind as usize) else { return OTHER };
        let Ok(number) = u32::try_from(self.texts.len()) else { return OTHER };
        if *count >= kind.limit() || number >= REDUCED {
            return OTHER;
        }
        *count += 1;
        self.texts.push(key.clone());
        self.numbers.insert(key, number);
        number
    }

    /// The number of `text` if it has one.
    #[must_use]
    pub fn known(&self, kind: NameKind, text: &str) -> Option<u32> {
        self.numbers.get(&(kind, text.to_owned())).copied()
    }

    /// The text of `number`; empty for [`NONE`] and for numbers never given.
    #[must_use]
    pub fn text(&self, number: u32) -> &str {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        self.texts.get(place).map_or("", |(_, text)| text)
    }

    /// Names given since the last call, with their numbers, to be saved.
    pub fn take_new(&mut self) -> Vec<(u32, NameKind, String)> {
        let new = self.texts.iter().enumerate().skip(self.saved);
        let new = new.filter_map(|(place, (kind, text))| {
            Some((u32::try_from(place).ok()?, *kind, text.clone()))
        });
        let new: Vec<_> = new.collect();
        self.saved = self.texts.len();
        new
    }

    /// Forgets the text of `number`, which is never given again.
    pub fn forget(&mut self, number: u32) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let Some((kind, text)) = self.texts.get_mut(place) else { return };
        if number > OTHER && !text.is_empty() {
            self.numbers.remove(&(*kind, std::mem::take(text)));
            if let Some(count) = self.counts.get_mut(*kind as usize) {
                *count -= 1;
            }
        }
    }

    /// Puts back a saved name; they come in order of their numbers. An empty text is a name that was
    /// forgotten: its number is never given again.
    pub fn restore(&mut self, kind: NameKind, text: String) {
        if text.is_empty() {
            self.texts.push((kind, text));
            self.saved = self.texts.len();
        } else if let Ok(number) = u32::try_from(self.texts.len()) {
            self.texts.push((kind, text.clone()));
            self.numbers.insert((kind, text), number);
            self.saved = self.texts.len();
            if let Some(count) = self.counts.get_mut(kind as usize) {
                *count += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_names_stay_bounded() {
        let mut names = Names::default();
        for n in 0..5_000 {
            names.number(NameKind::Deployment, &format!("d{n}"));
        }
        assert_eq!(names.number(NameKind::Deployment, "d1"), 3);
        assert_eq!(names.number(NameKind::Deployment, "d4999"), OTHER);
        assert_eq!(names.take_new().len(), 2_000);
        assert_eq!(names.take_new().len(), 0);
        assert_eq!(names.text(OTHER), "(other)");
    }

    #[test]
    fn the_number_of_a_forgotten_name_is_never_given_again() {
        let mut names = Names::default();
        names.restore(NameKind::Network, "a".to_owned());
        names.restore(NameKind::Network, String::new());
        assert_eq!(names.number(NameKind::Network, "b"), 4);
        names.number(NameKind::Network, "c");
        names.forget(5);
        names.forget(5);
        names.forget(OTHER);
        assert_eq!(names.text(5), "");
        assert_eq!(names.number(NameKind::Network, "c"), 6);
        names.forget(6);
        let new = names.take_new();
        assert_eq!(new.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [4, 5, 6]);
        assert_eq!((names.text(3), names.text(2)), ("", "a"));
    }

    #[test]
    fn saved_names_keep_their_numbers() {
        let mut names = Names::default();
        names.number(NameKind::Model, "m");
        names.number(NameKind::Network, "n");
        let mut again = Names::default();
        for (_, kind, text) in names.take_new() {
            again.restore(kind, text);
        }
        assert_eq!(again.number(NameKind::Network, "n"), 3);
        assert_eq!(again.take_new(), []);
    }
}
