//! What Azure counts and prices apart.

use std::fmt;

/// A kind of token with a price of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meter {
    /// Prompt tokens not served from the cache.
    Input = 0,
    /// Prompt tokens served from the cache.
    Cached = 1,
    /// Generated tokens.
    Output = 2,
    /// Prompt tokens written to the cache. No log says how many; [`Meter::Input`] holds them.
    CacheWrite = 3,
    /// The same, kept for an hour.
    CacheWriteHour = 4,
    /// Prompt tokens of sound. No log says how many; [`Meter::Input`] holds them.
    AudioInput = 5,
    /// Generated tokens of sound. No log says how many; [`Meter::Output`] holds them.
    AudioOutput = 6,
    /// Prompt tokens of images. No log says how many; [`Meter::Input`] holds them.
    ImageInput = 7,
    /// Generated tokens of images. No log says how many; [`Meter::Output`] holds them.
    ImageOutput = 8,
    /// Prompt tokens that a router passed on, charged beside the model that served them.
    Router = 9,
}

impl Meter {
    /// Every meter in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Input,
        Self::Cached,
        Self::Output,
        Self::CacheWrite,
        Self::CacheWriteHour,
        Self::AudioInput,
        Self::AudioOutput,
        Self::ImageInput,
        Self::ImageOutput,
        Self::Router,
    ];
    /// The meters whose tokens the logs tell apart.
    pub const LOGGED: [Self; 3] = [Self::Input, Self::Cached, Self::Output];

    /// As books, configurations and lists write it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Cached => "cached",
            Self::Output => "output",
            Self::CacheWrite => "cache_write",
            Self::CacheWriteHour => "cache_write_1h",
            Self::AudioInput => "audio_input",
            Self::AudioOutput => "audio_output",
            Self::ImageInput => "image_input",
            Self::ImageOutput => "image_output",
            Self::Router => "router",
        }
    }

    /// The meter with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|meter| meter.word() == word)
    }

    /// Meters whose tokens the logs count under this one, at another price.
    #[must_use]
    pub const fn hidden(self) -> &'static [Self] {
        match self {
            Self::Input | Self::Cached => &[Self::AudioInput, Self::ImageInput],
            Self::Output => &[Self::AudioOutput, Self::ImageOutput],
            Self::CacheWrite
            | Self::CacheWriteHour
            | Self::AudioInput
            | Self::AudioOutput
            | Self::ImageInput
            | Self::ImageOutput
            | Self::Router => &[],
        }
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_name_one_meter_each() {
        for (place, meter) in Meter::ALL.into_iter().enumerate() {
            assert_eq!(meter as usize, place);
            assert_eq!(Meter::from_word(meter.word()), Some(meter));
        }
        for (place, meter) in Meter::LOGGED.into_iter().enumerate() {
            assert_eq!(meter as usize, place);
        }
    }
}
