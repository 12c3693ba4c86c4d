//! The newest values of a series, in single precision: what a deployment is remembered by.

use serde::{Deserialize, Serialize};

/// Values at consecutive indices, the oldest forgotten first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    values: Vec<f32>,
    /// Index of the next value; the first value ever has index 0.
    next: i64,
}

impl Ring {
    /// Room for the newest `length` values, at least one.
    #[must_use]
    pub fn new(length: i64) -> Self {
        let length = usize::try_from(length).unwrap_or(1).max(1);
        Self { values: vec![0.0; length], next: 0 }
    }

    /// Index that the next value will have.
    #[must_use]
    pub const fn next(&self) -> i64 {
        self.next
    }

    /// Adds a value.
    pub fn push(&mut self, value: f64) {
        self.next += 1;
        self.set(self.next - 1, value);
    }

    /// The value at `index`; 0 where it was forgotten or never given.
    #[must_use]
    pub fn at(&self, index: i64) -> f64 {
        self.place(index).and_then(|at| self.values.get(at)).copied().map_or(0.0, f64::from)
    }

    /// Replaces a value that is still remembered.
    pub fn set(&mut self, index: i64, value: f64) {
        if let Some(slot) = self.place(index).and_then(|at| self.values.get_mut(at)) {
            *slot = single(value);
        }
    }

    /// Sum of the values `from..to`.
    #[must_use]
    pub fn sum(&self, from: i64, to: i64) -> f64 {
        (from.max(self.oldest())..to.min(self.next)).map(|index| self.at(index)).sum()
    }

    /// Sum of the newest `count` values.
    #[must_use]
    pub fn newest(&self, count: i64) -> f64 {
        self.sum(self.next - count, self.next)
    }

    /// Multiplies the values `from..to`.
    pub fn scale(&mut self, from: i64, to: i64, factor: f64) {
        for index in from.max(self.oldest())..to.min(self.next) {
            self.set(index, self.at(index) * factor);
        }
    }

    /// Index of the oldest value remembered.
    #[must_use]
    pub fn oldest(&self) -> i64 {
        (self.next - i64::try_from(self.values.len()).unwrap_or(1)).max(0)
    }

    fn place(&self, index: i64) -> Option<usize> {
        let length = i64::try_from(self.values.len()).ok()?;
        let known = (self.oldest()..self.next).contains(&index);
        usize::try_from(index.rem_euclid(length)).ok().filter(|_| known)
    }
}

/// The nearest value in single precision: seven digits are more than any statistic here can use.
#[expect(clippy::cast_possible_truncation, reason = "that is its purpose")]
#[must_use]
pub const fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_nothing_is_made_up() {
        let mut ring = Ring::new(3);
        (1..=5).for_each(|value| ring.push(f64::from(value)));
        assert!(((0..7).map(|at| ring.at(at)).sum::<f64>() - 12.0).abs() < 1e-9);
        assert!((ring.newest(2) - 9.0).abs() < 1e-9 && (ring.sum(0, 4) - 7.0).abs() < 1e-9);
        ring.scale(0, 4, 2.0);
        assert!((ring.newest(3) - 19.0).abs() < 1e-9 && ring.at(1).abs() < 1e-9);
    }
}
