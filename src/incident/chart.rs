//! What a chart of an incident is drawn from.

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// Expected and observed values in equal steps of event time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Chart {
    /// Start of the first step.
    pub start: EventTime,
    /// Length of a step in milliseconds.
    pub step_ms: i64,
    /// Unit of all values, such as `tokens in 5 min`.
    pub unit: String,
    /// What was seen in each step.
    pub observed: Vec<f64>,
    /// What was expected there; `None` where nothing had been learnt. As long as `observed`.
    pub expected: Vec<Option<f64>>,
    /// Upper end of the band held normal there. As long as `observed`.
    pub upper: Vec<Option<f64>>,
    /// First anomalous step.
    pub from: usize,
    /// First step after the anomalous ones.
    pub until: usize,
}
