//! Reading what nobody logged, as far as metrics let it be estimated.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::StoreError;
use super::read::Reader;
use crate::aggregate::estimate::{self, Estimated, Untold};
use crate::aggregate::metrics::{Counts, is_comparable};
use crate::price::spend::{Spend, SpendHour};
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

/// Counts by deployment, of an hour (its first minute) and account (resource id).
type Metered = BTreeMap<(Minute, String), BTreeMap<String, Counts>>;

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
        let mut metered = self.metered_deployments(from, until).await?;
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
            let own = metered.remove(&key).unwrap_or_default();
            estimates.extend(spread(key, missing, &spent, &own));
        }
        Ok(estimates)
    }

    /// What the metrics of single deployments count, by hour and account.
    async fn metered_deployments(
        &mut self,
        from: Minute,
        until: Minute,
    ) -> Result<Metered, StoreError> {
        let rows = sqlx::query(
            "select start, a.resource, d.text, tokens_in, tokens_out, requests from metric_hour \
             join account a on a.id = series >> 32 \
             join name d on d.account = a.id and d.id = series & 4294967295 \
             where start >= $1 and start < $2",
        )
        .bind(from.0)
        .bind(until.0)
        .fetch_all(self.connection())
        .await;
        let read = rows.and_then(|rows| {
            let mut metered = Metered::new();
            for row in rows {
                let key = (Minute(row.try_get(0)?), row.try_get(1)?);
                let counts = Counts {
                    input: row.try_get(3)?,
                    output: row.try_get(4)?,
                    requests: row.try_get(5)?,
                };
                metered.entry(key).or_default().insert(row.try_get(2)?, counts);
            }
            Ok(metered)
        });
        read.map_err(|source| self.error(source))
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

/// Prompt tokens (cached ones included) and generated tokens.
const fn logged_of(spend: Spend) -> Estimated {
    let [input, cached, output] = spend.meters;
    Estimated { input: input.tokens.saturating_add(cached.tokens), output: output.tokens }
}

const fn untold_of(hour: &SpendHour) -> Untold {
    let spend = hour.spend;
    Untold { calls: spend.untold, sent: spend.untold_sent, received: spend.untold_received }
}

/// The missing tokens of an hour on the deployments with untold calls: first what the metrics of each
/// deployment itself say, where somebody asked for them, then the rest on the others by bytes. Where
/// there are no untold calls, nobody can say whose they are.
fn spread(
    (start, account): (Minute, String),
    missing: Estimated,
    spent: &[SpendHour],
    metered: &BTreeMap<String, Counts>,
) -> Vec<EstimatedHour> {
    let nobody = EstimatedHour {
        start,
        account,
        deployment: String::new(),
        model: String::new(),
        calls: 0,
        tokens: missing,
    };
    let untold: Vec<&SpendHour> = spent.iter().filter(|hour| hour.spend.untold > 0).collect();
    if untold.is_empty() {
        return vec![nobody];
    }
    let mut left = missing;
    let mut estimates = Vec::new();
    let mut place = |tokens: Estimated, hours: &[&SpendHour]| {
        let parts: Vec<Untold> = hours.iter().map(|hour| untold_of(hour)).collect();
        let parts = hours.iter().zip(estimate::spread(tokens, &parts));
        estimates.extend(parts.map(|(hour, tokens)| EstimatedHour {
            deployment: hour.deployment.clone(),
            model: hour.model.clone(),
            calls: hour.spend.untold,
            tokens,
            ..nobody.clone()
        }));
    };
    for (deployment, counts) in metered {
        let own = |hour: &&SpendHour| hour.deployment == *deployment;
        let hours: Vec<&SpendHour> = untold.iter().copied().filter(own).collect();
        let told =
            spent.iter().filter(own).fold(Spend::default(), |sum, hour| sum.plus(hour.spend));
        let beyond = estimate::beyond(*counts, logged_of(told));
        if let Some(beyond) = beyond.filter(|_| !hours.is_empty()) {
            let tokens = beyond.at_most(left);
            left = left.less(tokens);
            place(tokens, &hours);
        }
    }
    let others = untold.into_iter().filter(|hour| !metered.contains_key(&hour.deployment));
    place(left, &others.collect::<Vec<_>>());
    estimates
}
