//! What changed in how the estate is protected.

use serde::Serialize;

use crate::report::view::{Section, Unarmed};

/// The block: the eight topics, each with its light once something reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Posture {
    /// What it will say.
    pub unarmed: Vec<Unarmed>,
}

impl Posture {
    /// Nothing reads the posture of accounts yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            unarmed: vec![
                Unarmed {
                    what: "traffic lights of the eight security topics",
                    needs: "detectors of posture",
                },
                Unarmed { what: "keys older than policy", needs: "inventory of keys" },
                Unarmed {
                    what: "new resources, deployments, roles and networks",
                    needs: "control-plane detectors",
                },
            ],
        }
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self) -> Section {
        Section { title: "Security posture", unarmed: self.unarmed.clone(), ..Section::default() }
    }
}

impl Default for Posture {
    fn default() -> Self {
        Self::new()
    }
}
