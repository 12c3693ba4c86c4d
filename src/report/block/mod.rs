//! The blocks of a report in their order; each is one small file: what it computes, and how it reads.

pub mod spend;
pub mod month;
pub mod deployments;
pub mod slices;
pub mod unattributed;
pub mod movers;
pub mod incidents;
pub mod posture;
pub mod savings;
pub mod quality;
pub mod unseen;
pub mod summary;
