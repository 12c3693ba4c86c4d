//! From rows to calls to sums: the join, signed bookings and mergeable rollups.

pub mod call;
pub mod cap;
pub mod coverage;
pub mod delay;
pub mod join;
pub mod metrics;
pub mod names;
pub mod repeats;
pub mod rollup;
