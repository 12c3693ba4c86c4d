//! TW-I01: a network this deployment has not seen before carries money. Never a page on its own.

use super::series::{SLOTS_PER_HOUR, Series, Slot, values};
use super::{Detector, Finding, Judge, Phase, Profile, table};
use crate::money::NanoUsd;
use crate::time::Minute;

/// New networks carrying money.
pub struct NewNetwork;

/// Days of history before "new" means anything.
const MIN_HISTORY_HOURS: i64 = 7 * 24;
/// A network counts as new for this long after it was first seen.
const NEW_FOR_MIN: i64 = 24 * 60;

impl Detector for NewNetwork {
    fn profile(&self) -> &'static Profile {
        table::profile("TW-I01")
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        if judge.phase == Phase::Open || slot.hour() - series.first_hour? < MIN_HISTORY_HOURS {
            return None;
        }
        let first = Slot(slot.0 - SLOTS_PER_HOUR + 1);
        let (mut new_usd, mut all_usd, mut networks) = (0.0, 0.0, 0);
        for (caller, amount) in series.callers(first, slot) {
            let [_, usd, _] = values(amount);
            all_usd += usd;
            let network = caller.parts().map(|parts| parts.network).filter(|n| *n != 0);
            if network.is_some_and(|network| is_new(series, network, slot)) {
                new_usd += usd;
                networks += 1;
            }
        }
        let worth = judge.settings.new_network_usd;
        (networks > 0 && new_usd >= worth).then(|| Finding {
            signal: None,
            observed: new_usd,
            expected: 0.0,
            bound: worth,
            unit: "USD from new networks in 1 h".to_owned(),
            score: new_usd / worth.max(f64::MIN_POSITIVE),
            confidence: 0.6,
            evidence: vec![format!(
                "{networks} caller(s) from networks first seen here within 24 hours spent {} of {} in \
                 the last hour",
                NanoUsd::from_usd(new_usd),
                NanoUsd::from_usd(all_usd),
            )],
        })
    }
}

/// True when `network` was first seen at most a day before `slot`.
#[must_use]
pub fn is_new(series: &Series, network: u32, slot: Slot) -> bool {
    let since = Minute(slot.start().0 - NEW_FOR_MIN);
    series.first_seen(network).is_none_or(|first| first >= since)
}
