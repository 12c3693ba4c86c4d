//! Plays.

use super::Play;

pub(super) const PLAYS: &[Play] = &[];
