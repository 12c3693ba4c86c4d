//! Deployments that are new in an account that was watched before, and what their peers cost: the one
//! thing that a judgement reads of other accounts' money.
//!
//! Peers are those of the accounts that share their hubs, and so their watermark: what each has cost until
//! the end of a slot is known when the slot closes, and made of the same sums as after a restart.

use std::collections::BTreeMap;

use super::Env;
use super::account::Account;
use crate::detect::newcomer::{self, Newcomer, Peers};
use crate::detect::series::{Series, Slot};
use crate::known::owner::subscription_of;

/// Newcomers by number of account and of deployment.
pub type Newcomers = BTreeMap<(u32, u32), Newcomer>;

/// Subscription and model, without its version.
type Kind<'a> = (&'a str, &'a str);

/// The newcomers of a slot that has ended, as far as they cost enough to be told of.
pub(super) fn find<'a>(
    accounts: impl Iterator<Item = &'a Account> + Clone,
    slot: Slot,
    env: &Env,
) -> Newcomers {
    let mut found: Vec<((u32, u32), i64, Option<Kind<'_>>)> = Vec::new();
    for account in accounts.clone() {
        let Some(least) = newcomer::least(account.detect(env)) else { continue };
        let Some(since) = deployments(account).map(|(_, begun, _)| begun).min() else { continue };
        for (deployment, begun, series) in deployments(account) {
            let Some(age) = newcomer::age(begun, since, slot) else { continue };
            if series.spent(slot, 24) >= least {
                found.push(((account.id, deployment), age, kind(account, deployment)));
            }
        }
    }
    if found.is_empty() {
        return Newcomers::new();
    }
    let mut costs: BTreeMap<Kind<'_>, Vec<f64>> =
        found.iter().filter_map(|(_, _, kind)| kind.map(|kind| (kind, Vec::new()))).collect();
    for account in accounts {
        for (deployment, begun, series) in deployments(account) {
            let kind = kind(account, deployment).filter(|_| newcomer::is_peer(begun, slot));
            let Some(costs) = kind.and_then(|kind| costs.get_mut(&kind)) else { continue };
            // What was not used says nothing about what use costs.
            costs.extend(Some(series.spent(slot, 24)).filter(|usd| *usd > 0.0));
        }
    }
    let peers: BTreeMap<Kind<'_>, Option<Peers>> =
        costs.into_iter().map(|(kind, costs)| (kind, Peers::of(costs))).collect();
    let newcomers = found.into_iter().map(|(place, age, kind)| {
        let peers = kind.and_then(|kind| peers.get(&kind).copied().flatten());
        (place, Newcomer { age, peers })
    });
    newcomers.collect()
}

/// Deployments with a first slot.
fn deployments(account: &Account) -> impl Iterator<Item = (u32, Slot, &Series)> {
    let named = account.series.iter().filter(|(deployment, _)| **deployment != 0);
    named.filter_map(|(deployment, series)| Some((*deployment, series.begun()?, series)))
}

fn kind(account: &Account, deployment: u32) -> Option<Kind<'_>> {
    let model = account.names.text(*account.models.get(&deployment)?);
    Some((subscription_of(&account.resource)?, model.split('@').next()?))
}
