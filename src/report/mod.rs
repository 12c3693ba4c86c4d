//! The weekly spend report: rows are [gathered](gather::gather) once, [blocks](block) are computed from
//! them by pure functions, and [`render`] shows them to people and programs.
//!
//! Amounts are sums of nano-USD; what is shown is cut so that rows add up to their total
//! ([`amount::Currency::column`]). What the total does not hold (tokens without a price, calls that did
//! not tell their tokens, estimates) stands beside it. A block whose data nothing brings yet says what
//! it needs.

pub mod amount;
pub mod block;
pub mod facts;
pub mod gather;
pub mod guess;
pub mod period;
pub mod render;
pub mod settings;
pub mod view;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::days::DaysError;
use crate::store::report::Edition;
use amount::Currency;
use block::deployments::Deployments;
use block::incidents::Incidents;
use block::month::Month;
use block::movers::Movers;
use block::posture::Posture;
use block::quality::Quality;
use block::savings::Savings;
use block::slices::{Networks, Slices};
use block::spend::Spend;
use block::summary::{From, Summary};
use block::unattributed::Unattributed;
use block::unseen::Unseen;
use facts::Facts;
use view::Section;

/// Name of the weekly report, in keys and storage.
pub const WEEKLY: &str = "weekly";

/// How a report is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whose; empty for the whole.
    pub scope: String,
    /// Which letter.
    pub edition: Edition,
    /// In which currency.
    pub currency: Currency,
    /// Whether callers' networks may be shown.
    pub networks: Networks,
}

/// A report, ready to be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which.
    pub head: Head,
    /// Subject and cause.
    pub summary: Summary,
    /// This week against others.
    pub spend: Spend,
    /// The month.
    pub month: Month,
    /// By deployment.
    pub deployments: Deployments,
    /// By model, way of buying and caller.
    pub slices: Slices,
    /// What the total does not hold, or holds without an owner.
    pub unattributed: Unattributed,
    /// What moved the total.
    pub movers: Movers,
    /// What went wrong.
    pub incidents: Incidents,
    /// How the estate is protected.
    pub posture: Posture,
    /// What could cost less.
    pub savings: Savings,
    /// How far the numbers are to be trusted.
    pub quality: Quality,
    /// What nobody saw, and what to do.
    pub unseen: Unseen,
}

/// Which report this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// `weekly`.
    pub report: &'static str,
    /// Whose; empty for the whole.
    pub scope: String,
    /// `2026-W47`.
    pub period: String,
    /// First moment, by the local clock with its offset.
    pub from: String,
    /// First moment after it.
    pub until: String,
    /// UTC hours in it: 168, or 167 and 169 when clocks change.
    pub hours: i64,
    /// Minutes by which days begin after midnight, in zones off the hour.
    pub begins_minutes_late: i64,
    /// Zone.
    pub timezone: String,
    /// `first`, `correction` or `again-N`.
    pub edition: String,
    /// Currency of the texts; amounts in JSON are in nano-USD.
    pub currency: String,
    /// USD for one unit of it.
    pub usd_per_unit: String,
    /// True when the week is not whole.
    pub is_partial: bool,
}

/// Computes a report.
///
/// # Errors
/// A date beyond the calendar.
pub fn build(facts: &Facts, terms: &Terms) -> Result<Report, DaysError> {
    let spend = Spend::new(facts);
    let month = Month::new(facts, &terms.scope)?;
    let movers = Movers::new(facts);
    let incidents = Incidents::new(facts);
    let quality = Quality::new(facts, &terms.scope)?;
    let deployments = Deployments::new(facts);
    let unattributed = Unattributed::new(facts);
    let from = From {
        scope: &terms.scope,
        period: &facts.week.name,
        edition: terms.edition,
        spend: &spend,
        month: &month,
        movers: &movers,
        incidents: &incidents,
        quality: &quality,
    };
    let summary = Summary::new(from, &terms.currency);
    let unseen = Unseen::new(facts, &deployments, &incidents, &unattributed);
    Ok(Report {
        head: head(facts, terms, !quality.partial.is_empty()),
        summary,
        spend,
        month,
        deployments,
        slices: Slices::new(facts, terms.networks),
        unattributed,
        movers,
        incidents,
        posture: Posture::new(),
        savings: Savings::new(facts, &BTreeMap::new()),
        quality,
        unseen,
    })
}

fn head(facts: &Facts, terms: &Terms, is_partial: bool) -> Head {
    let [from, until] = facts.week.ends_by_clock(&facts.zone);
    Head {
        report: WEEKLY,
        scope: terms.scope.clone(),
        period: facts.week.name.clone(),
        from,
        until,
        hours: facts.week.hours(),
        begins_minutes_late: facts.week.days.first().map_or(0, crate::days::Period::shift_min),
        timezone: facts.zone.name().to_owned(),
        edition: terms.edition.word(),
        currency: terms.currency.code.clone(),
        usd_per_unit: terms.currency.rate.to_string(),
        is_partial,
    }
}

impl Report {
    /// The blocks as people read them, in their order.
    #[must_use]
    pub fn sections(&self, currency: &Currency) -> Vec<Section> {
        vec![
            self.spend.section(currency),
            self.month.section(currency),
            self.deployments.section(currency),
            self.slices.section(currency),
            self.slices.callers_section(currency),
            self.unattributed.section(currency),
            self.movers.section(currency),
            self.incidents.section(currency),
            self.posture.section(),
            self.savings.section(currency),
            self.quality.section(currency, self.head.hours),
            self.unseen.section(),
        ]
    }
}

#[cfg(test)]
mod tests;
