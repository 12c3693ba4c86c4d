//! Who hears of an incident, when and in which company; words and meanings are Alertmanager's.
//!
//! The engine says that something is worth telling; [`Router::step`] decides whom, from the
//! [`Plan`], the silences, and what each receiver was told before. It is pure: its clock is an
//! argument, and what it must remember comes back as data ([`Routing`]) that is saved in the
//! transaction of the incidents.

pub mod calendar;
mod explain;
pub mod matcher;
mod reason;
mod router;
pub mod silence;
mod tree;

pub use explain::{Explained, Verdict, explain};
pub use reason::{NotifyReason, Told, reason};
pub use router::{Content, Message, Moment, Muted, Routed, Router, State};
pub use silence::{Inhibit, Maintenance, Silence, When};
pub use tree::{GroupBy, Plan, Receiver, Route, Storm};

/// What routing wants saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// Groups by id, as text; `None` for those that are over.
    pub groups: Vec<(String, Option<String>)>,
    /// New silences.
    pub silences: Vec<Silence>,
    /// Silences that were ended: number and when, milliseconds since 1970.
    pub ended: Vec<(i64, i64)>,
}
