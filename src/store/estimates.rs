//! Reading what nobody logged, as far as metrics let it be estimated.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::StoreError;
use super::read::Reader;
use crate::aggregate::estimate::{self, Estimated, Untold};
use crate::aggregate::metrics::is_comparable;
use crate::price::spend::SpendHour;
use crate::time::{ArrivalTime, Minute};

/// Tokens of calls that no row told, in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstimatedHour {
    /// First minute of the hour, UTC.
    pub start: Minute,
    /// Azure resource id of the account, lower case.
    pub account: String,
    /// Deployment, lower case; empty where no log tells of any call.
    pub deployment: String,
    /// Model as `name@version` or `name`; empty as well.
    pub model: String,
    /// Calls these are the tokens of; 0 where no log tells of any.
    pub calls: i64,
    /// The tokens.
    pub tokens: Estimated,
}

impl Reader {
    /// Estimates by hour, account, deployment and model, from the hour `from` until before the hour
    /// `until` (first minutes, UTC).
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn estimates(
        &mut self,
        from: Minute,
        until: Minute,
    ) -> Result<Vec<EstimatedHour>, StoreError> {
        let mut spent: BTreeMap<(Minute, String), Vec<SpendHour>> = BTreeMap::new();
        for hour in self.spend(from, until).await? {
            spent.entry((hour.start, hour.account.clone())).or_default().push(hour);
        }
        let passed = self.passed().await?;
        let mut estimates = Vec::new();
        for hour in self.compared(from, until).await? {
            let key = (hour.start, hour.account);
            let spent = spent.remove(&key).unwrap_or_default();
            let comparable = is_comparable(hour.start, passed);
            let untold: Vec<Untold> = spent.iter().map(untold_of).collect();
            let Some(missing) = estimate::missing(&hour.compared, &untold, comparable) else {
                continue;
            };
            estimates.extend(spread(key, missing, &spent, &untold));
        }
        Ok(estimates)
    }

    /// How far any partition was read.
    async fn passed(&mut self) -> Result<ArrivalTime, StoreError> {
        let row = sqlx::query("select max(passed_ms) from partition_state")
            .fetch_one(self.connection())
            .await;
        let passed: Result<Option<i64>, _> = row.and_then(|row| row.try_get(0));
        Ok(ArrivalTime(passed.map_err(|source| self.error(source))?.unwrap_or(i64::MIN)))
    }
}

const fn untold_of(hour: &SpendHour) -> Untold {
    let spend = hour.spend;
    Untold { calls: spend.untold, sent: spend.untold_sent, received: spend.untold_received }
}

/// The missing tokens of an hour on the deployments with untold calls; where there are none, nobody
/// can say whose they are.
fn spread(
    (start, account): (Minute, String),
    missing: Estimated,
    spent: &[SpendHour],
    untold: &[Untold],
) -> Vec<EstimatedHour> {
    let nobody = EstimatedHour {
        start,
        account,
        deployment: String::new(),
        model: String::new(),
        calls: 0,
        tokens: missing,
    };
    if untold.iter().all(|untold| untold.calls <= 0) {
        return vec![nobody];
    }
    let parts = estimate::spread(missing, untold);
    let parts = spent.iter().zip(untold).zip(parts).filter(|((_, untold), _)| untold.calls > 0);
    parts
        .map(|((hour, untold), tokens)| EstimatedHour {
            deployment: hour.deployment.clone(),
            model: hour.model.clone(),
            calls: untold.calls,
            tokens,
            ..nobody.clone()
        })
        .collect()
}
