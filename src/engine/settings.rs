//! What an operator sets of the engine, and what every account works with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::budgets::Budget;
use super::respond::ResponseRules;
use crate::aggregate::join::JoinSettings;
use crate::detect::DetectSettings;
use crate::detect::tuning::Tuning;
use crate::known::Known;
use crate::known::owner::Owners;
use crate::price::PriceBook;
use crate::time::{HOUR_MS, MINUTE_MS};

/// What the engine may be told beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSettings {
    /// A slot is judged this long after its end, in milliseconds of arrival time.
    pub lateness_ms: i64,
    /// Limits of the join.
    pub join: JoinSettings,
    /// Thresholds of the detectors.
    pub detect: DetectSettings,
    /// What is set otherwise for single detectors.
    pub tuning: Tuning,
    /// Callers with a row of their own, per deployment and hour.
    pub callers_per_hour: usize,
    /// Accounts by the names gateways know them under (lower case): the first part of the backend's
    /// host, or the backend's name in the gateway. Others are found by the account's own name.
    pub backends: BTreeMap<String, String>,
    /// Accounts, by name or resource id in lower case, that should be called through gateways alone.
    pub gateway_only: Vec<String>,
    /// A cause that is seen again within this many milliseconds of event time after the last
    /// anomalous window of its incident opens that incident again.
    pub reopen_ms: i64,
    /// AI accounts kept apart; records of later ones are counted in the ledger.
    pub max_accounts: usize,
    /// Budgets, at most [`MAX_BUDGETS`](super::budgets::MAX_BUDGETS), with unique names.
    pub budgets: Vec<Budget>,
    /// Who owns which deployments.
    pub owners: Owners,
    /// Names of the Event Hubs namespaces that are read, lower case.
    pub pipeline: Vec<String>,
    /// What may be asked of the operator's automation; `None` where that is off.
    pub response: Option<ResponseRules>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lateness_ms: 5 * MINUTE_MS,
            join: JoinSettings::default(),
            detect: DetectSettings::default(),
            tuning: Tuning::default(),
            callers_per_hour: 500,
            backends: BTreeMap::new(),
            gateway_only: Vec::new(),
            reopen_ms: HOUR_MS,
            max_accounts: 5_000,
            budgets: Vec::new(),
            owners: Owners::default(),
            pipeline: Vec::new(),
            response: None,
        }
    }
}

/// What every account works with.
#[derive(Debug, Clone)]
pub struct Env {
    /// Settings.
    pub settings: EngineSettings,
    /// Prices.
    pub book: PriceBook,
    /// Networks and identities; see [`Engine::know`](super::Engine::know).
    pub known: Arc<Known>,
}

impl Env {
    /// With nothing known about networks and identities.
    #[must_use]
    pub fn new(settings: EngineSettings, book: PriceBook) -> Self {
        Self { settings, book, known: Arc::default() }
    }
}
