//! From rows to calls to sums: the join, signed bookings and mergeable rollups.

pub mod call;
pub mod cap;
pub mod coverage;
pub mod delay;
pub mod estimate;
pub mod gateway;
pub mod join;
pub mod link;
pub mod metrics;
pub mod names;
pub mod repeats;
pub mod rollup;
