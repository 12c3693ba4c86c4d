//! Whether calls are of one size, in little room: counts by a hash of the size.

/// Counts that are kept: calls of ever different sizes fill each of them with a sixteenth.
const BUCKETS: usize = 16;

/// How many calls had sizes of each of a few classes. A sum, so calls can be taken back; two sizes may share
/// a class, so "of one size" is told as "of about one size".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sizes {
    /// Calls, and the sum of their bytes.
    classes: [(i32, i64); BUCKETS],
}

impl Sizes {
    /// Adds `sign` calls of so many bytes.
    pub fn add(&mut self, bytes: u32, sign: i32) {
        // Multiplicative hashing by the golden ratio (Knuth, TAOCP 3, 6.4): neighbours part.
        let hash = bytes.wrapping_mul(0x9E37_79B1) >> (32 - BUCKETS.ilog2());
        let place = usize::try_from(hash).unwrap_or(0);
        if let Some((calls, sum)) = self.classes.get_mut(place) {
            *calls = calls.saturating_add(sign);
            *sum = sum.saturating_add(i64::from(bytes) * i64::from(sign));
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for ((calls, sum), (more, bytes)) in self.classes.iter_mut().zip(other.classes) {
            *calls = calls.saturating_add(more);
            *sum = sum.saturating_add(bytes);
        }
        self
    }

    /// Calls in all.
    #[must_use]
    pub fn calls(&self) -> i32 {
        self.classes.iter().fold(0, |sum, (calls, _)| sum.saturating_add(*calls))
    }

    /// Calls of the fullest class, and their mean size in bytes; `None` where there are none.
    #[must_use]
    pub fn most(&self) -> Option<(i32, i64)> {
        let (calls, sum) = self.classes.iter().max_by_key(|(calls, _)| *calls)?;
        (*calls > 0).then(|| (*calls, sum / i64::from(*calls)))
    }
}
