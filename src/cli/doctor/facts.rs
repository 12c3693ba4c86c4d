//! What the database knows about the data in it.

use std::collections::BTreeMap;
use std::path::Path;

use super::findings::short;
use crate::aggregate::metrics::{Compared, is_comparable};
use crate::aggregate::repeats::Told;
use crate::engine::honesty::Sent;
use crate::engine::respond::Standing;
use crate::incident::Incident;
use crate::store::condition::Condition;
use crate::store::gateway::GatewayShare;
use crate::store::honesty::KindDelay;
use crate::store::provisioned::ProvisionedUse;
use crate::store::read::{Reader, Totals};
use crate::time::{ArrivalTime, DAY_MS, HOUR_MS, MINUTE_MS, Minute};

/// Days of which delays are shown.
const DELAY_DAYS: i64 = 7;
/// Hours of which completeness and copies are shown.
const RECENT_HOURS: i64 = 24;

/// Everything findings are made of.
#[derive(Debug)]
pub(super) struct Facts {
    /// Hubs, losses, counters and refusals.
    pub(super) condition: Condition,
    /// Everything enqueued up to here on some partition was read: the end of what is known.
    pub(super) passed: ArrivalTime,
    /// What each account sends, by resource id and kind.
    pub(super) sent: BTreeMap<String, BTreeMap<String, Sent>>,
    /// Delays of the last week by hub and kind.
    pub(super) delays: Vec<KindDelay>,
    /// Rows and copies of the last day by resource id and kind.
    pub(super) repeats: Vec<(String, String, Told)>,
    /// Metric points of two days by resource id.
    pub(super) points: Vec<(String, Told)>,
    /// Logs against metrics of the last day, by resource id.
    pub(super) compared: BTreeMap<String, Day>,
    /// Calls through gateways and how many were found among the accounts'.
    pub(super) gateways: Vec<GatewayShare>,
    /// Tokens (in and out) by name of the account that metrics count and no log tells.
    pub(super) estimated: BTreeMap<String, i64>,
    /// Use of provisioned throughput, where it is known.
    pub(super) provisioned: Vec<ProvisionedUse>,
    /// Sums, coverage and ledgers.
    pub(super) totals: Totals,
    /// Steps that were proposed to the operator's automation, oldest first.
    pub(super) responses: Vec<Standing>,
    /// Open incidents.
    pub(super) open: Vec<Incident>,
}

/// Hours of one account that may be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Day {
    /// Hours of which metrics tell.
    pub(super) with_metrics: i64,
    /// Hours of which only logs tell.
    pub(super) without_metrics: i64,
    /// Sums of the hours of which metrics tell, or of all where no metric tells of any.
    pub(super) sums: Compared,
}

/// Reads the facts of the database at `path`.
pub(super) async fn gather(path: &Path) -> anyhow::Result<Facts> {
    let mut reader = Reader::open(path).await?;
    let condition = reader.condition().await?;
    let passed = condition.hubs.iter().filter_map(|hub| hub.fastest).max();
    let passed = passed.unwrap_or(ArrivalTime(0));
    let hour = passed.0.div_euclid(HOUR_MS);
    let first_hour = hour - RECENT_HOURS;
    let compared = compared(&mut reader, first_hour, passed).await?;
    let mut open = reader.incidents().await?;
    open.retain(|incident| incident.state.is_live());
    Ok(Facts {
        passed,
        sent: reader.sent().await?,
        responses: reader.responses(None).await?,
        delays: reader.delays(passed.0.div_euclid(DAY_MS) - DELAY_DAYS).await?,
        repeats: reader.repeats(first_hour).await?,
        points: reader.repeated_points().await?,
        compared,
        gateways: reader.behind_gateways().await?.1,
        estimated: estimated(&mut reader).await?,
        provisioned: reader.provisioned_use().await?,
        totals: reader.totals().await?,
        condition,
        open,
    })
}

async fn estimated(reader: &mut Reader) -> anyhow::Result<BTreeMap<String, i64>> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for hour in reader.estimates(Minute(i64::MIN), Minute(i64::MAX)).await? {
        let sum = sums.entry(short(&hour.account).to_owned()).or_default();
        *sum = sum.saturating_add(hour.tokens.input).saturating_add(hour.tokens.output);
    }
    Ok(sums)
}

async fn compared(
    reader: &mut Reader,
    first_hour: i64,
    passed: ArrivalTime,
) -> anyhow::Result<BTreeMap<String, Day>> {
    let end = Minute(passed.0.div_euclid(MINUTE_MS) + 1);
    let mut hours = reader.compared(Minute(first_hour * 60), end).await?;
    hours.retain(|hour| is_comparable(hour.start, passed));
    let mut days: BTreeMap<String, Day> = BTreeMap::new();
    let mut bare: BTreeMap<String, Compared> = BTreeMap::new();
    for hour in hours {
        let day = days.entry(hour.account.clone()).or_default();
        if hour.compared.sides().is_some() {
            day.with_metrics += 1;
            day.sums = day.sums.plus(hour.compared);
        } else {
            day.without_metrics += 1;
            let sums = bare.entry(hour.account).or_default();
            *sums = sums.plus(hour.compared);
        }
    }
    for (account, sums) in bare {
        if let Some(day) = days.get_mut(&account).filter(|day| day.with_metrics == 0) {
            day.sums = sums;
        }
    }
    Ok(days)
}
