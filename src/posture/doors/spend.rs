//! Whether somebody hears of it when more is spent than was meant to be.

use super::{Look, Verdict};
use crate::incident::respond::quoted;
use crate::money::Grouped;
use crate::posture::inventory::{Budget, Kind, Part, Quota};
use crate::posture::listed;

/// Version of the budgets' API.
const API: &str = "2024-08-01";
/// Quotas with room left that are named.
const NAMED: usize = 3;

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    let destinations = look.own.destinations;
    let verdict = match destinations {
        Some(0) => Verdict::open(
            "The configuration names no destination: nobody is told of an alert.",
        )
        .step(
            "Proves that somebody is told, once the configuration has a destination such as \
             [[notify.mail]].",
            "tokenwatch test-alert --config FILE".to_owned(),
        ),
        Some(_) | None => budgets(look),
    };
    let verdict = headroom(look, verdict);
    match destinations {
        Some(0) => verdict,
        Some(1) => verdict.note("tokenwatch tells 1 destination; test-alert proves it.".to_owned()),
        Some(count) => {
            verdict.note(format!("tokenwatch tells {count} destinations; test-alert proves it."))
        }
        None => {
            verdict.note("Without --config it is not known whom tokenwatch would tell.".to_owned())
        }
    }
}

fn budgets(look: &Look<'_>) -> Verdict {
    let part = &look.subscription.budgets;
    let Some(budgets) = part.value() else {
        let why = part.lack().unwrap_or_default();
        return Verdict::unknown(format!("Budgets could not be read: {why}."));
    };
    let tells = |budget: &&Budget| budget.notifications.is_some_and(|count| count > 0);
    let whole = |budget: &&Budget| !budget.filtered;
    if let Some(budget) = budgets.values().filter(whole).find(tells) {
        return Verdict::ok(format!("Budget {} tells when it is used up.", told(budget)));
    }
    let some: Vec<&Budget> = budgets.values().collect();
    if let Some(why) = part.lack() {
        return Verdict::unknown(format!("Not every budget could be read: {why}."));
    }
    if let Some(budget) = some.iter().find(|budget| budget.filtered && tells(budget)) {
        return create(
            look,
            Verdict::unknown(format!(
                "Budget {} counts a part of the subscription; whether this is in it is not known.",
                told(budget)
            )),
        );
    }
    if let Some(budget) = some.iter().find(|budget| budget.notifications.is_none()) {
        return Verdict::unknown(format!("Azure does not say whom budget {} tells.", told(budget)));
    }
    let finding = match some.first() {
        Some(budget) => format!("Budget {} tells nobody.", told(budget)),
        None => "The subscription has no budget.".to_owned(),
    };
    create(look, Verdict::open(finding))
}

fn told(budget: &Budget) -> String {
    let currency = &budget.currency;
    let number = |amount: u32| Grouped(i64::from(amount));
    match (budget.amount, budget.spent) {
        (Some(amount), Some(spent)) => {
            format!("\"{}\" ({} of {} {currency} used)", budget.name, number(spent), number(amount))
        }
        (Some(amount), None) => format!("\"{}\" ({} {currency})", budget.name, number(amount)),
        (None, _) => format!("\"{}\"", budget.name),
    }
}

/// How much more could be deployed here: an account's region decides.
fn headroom(look: &Look<'_>, verdict: Verdict) -> Verdict {
    if look.resource.kind != Kind::Account {
        return verdict;
    }
    let region = &look.resource.state.location;
    let part = look.subscription.quotas.get(region);
    let Some(quotas) = part.and_then(Part::value) else {
        let why = part.and_then(Part::lack).unwrap_or_else(|| "it was not asked for".to_owned());
        let mut verdict = verdict.note(format!("Quota is unknown: {why}."));
        if verdict.state == crate::posture::State::Ok {
            verdict.state = crate::posture::State::Unknown;
            verdict.finding.push_str(" How much more may be deployed is unknown.");
        }
        return verdict;
    };
    let mut room: Vec<(u64, &Quota)> = quotas
        .iter()
        .map(|quota| (quota.limit.saturating_sub(quota.used), quota))
        .filter(|(room, quota)| *room > 0 && quota.used > 0)
        .collect();
    room.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
    let named: Vec<String> = room
        .iter()
        .take(NAMED)
        .map(|(room, quota)| {
            let number = |number: u64| Grouped(i64::try_from(number).unwrap_or(i64::MAX));
            format!("{} ({} of {} left)", quota.name, number(*room), number(quota.limit))
        })
        .collect();
    let text = match named.is_empty() {
        true => format!("No quota in use in {region} has room left."),
        false => format!("Quota that could still be deployed in {region}: {}.", listed(&named)),
    };
    verdict.note(text)
}

fn create(look: &Look<'_>, verdict: Verdict) -> Verdict {
    verdict.step(
        "Makes a monthly budget that mails the subscription's owners at 80 and 100 % (AMOUNT, in \
         your currency, and FIRST_OF_MONTH, such as 2026-01-01, are yours).",
        format!(
            "az rest --method put --url {} --body '{{\"properties\":{{\"category\":\"Cost\",\
             \"amount\":AMOUNT,\"timeGrain\":\"Monthly\",\"timePeriod\":{{\"startDate\":\
             \"FIRST_OF_MONTHT00:00:00Z\"}},\"notifications\":{{{},{}}}}}}}'",
            quoted(&format!(
                "/subscriptions/{}/providers/Microsoft.Consumption/budgets/tokenwatch?api-version={API}",
                look.subscription_id
            )),
            notification("at80", 80),
            notification("at100", 100)
        ),
    )
}

fn notification(name: &str, percent: u8) -> String {
    format!(
        "\"{name}\":{{\"enabled\":true,\"operator\":\"GreaterThanOrEqualTo\",\"threshold\":{percent},\
         \"contactEmails\":[],\"contactRoles\":[\"Owner\"]}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::sample::World;
    use crate::posture::{Own, State};

    fn budget(notifications: Option<u32>, filtered: bool) -> Budget {
        Budget {
            name: "monthly".to_owned(),
            amount: Some(12_000),
            spent: Some(1_500),
            currency: "EUR".to_owned(),
            filtered,
            notifications,
        }
    }

    fn world(budgets: &[Budget]) -> World {
        let mut world = World::new();
        let named = budgets.iter().enumerate().map(|(n, budget)| (n.to_string(), budget.clone()));
        world.subscription().budgets = Part::Read(named.collect());
        world
    }

    #[track_caller]
    fn check(budgets: &[Budget], state: State, words: &str) -> Verdict {
        let verdict = world(budgets).look(Kind::Account, judge);
        assert_eq!(verdict.state, state, "{}", verdict.finding);
        assert!(verdict.finding.contains(words), "{}", verdict.finding);
        verdict
    }

    #[test]
    fn ok_is_a_budget_that_tells_somebody() {
        let verdict = check(
            &[budget(Some(0), false), budget(Some(2), false)],
            State::Ok,
            "1,500 of 12,000 EUR",
        );
        assert!(verdict.notes[0].contains("gpt-4o (400 of 450 left)"), "{:?}", verdict.notes);
        assert!(verdict.notes[1].contains("Without --config"), "{:?}", verdict.notes);
        for kind in [Kind::Search, Kind::Workspace] {
            assert_eq!(world(&[budget(Some(1), false)]).look(kind, judge).state, State::Ok);
        }
    }

    #[test]
    fn open_is_no_budget_or_one_that_tells_nobody_and_the_command_is_whole() {
        check(&[budget(Some(0), false)], State::Open, "tells nobody");
        let verdict = check(&[], State::Open, "has no budget");
        let body = verdict.steps[0].command.split("--body '").nth(1).unwrap();
        let body = body.trim_end_matches('\'').replace("AMOUNT", "5");
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["properties"]["notifications"]["at80"]["threshold"], 80);
    }

    #[test]
    fn unknown_is_what_is_filtered_or_could_not_be_read() {
        check(&[budget(Some(1), true)], State::Unknown, "a part of the subscription");
        check(&[budget(None, false)], State::Unknown, "does not say whom");
        let mut world = world(&[budget(Some(1), false)]);
        world.subscription().quotas = [("eastus2".to_owned(), world.forbidden())].into();
        let verdict = world.look(Kind::Account, judge);
        assert_eq!(verdict.state, State::Unknown);
        assert!(verdict.notes[0].contains("answered 403"), "{:?}", verdict.notes);
        assert_eq!(world.look(Kind::Search, judge).state, State::Ok);
        world.subscription().budgets = world.forbidden();
        assert_eq!(world.look(Kind::Search, judge).state, State::Unknown);
    }

    #[test]
    fn with_a_configuration_somebody_must_be_told() {
        let world = world(&[budget(Some(1), false)]);
        for (destinations, state) in [(0, State::Open), (1, State::Ok), (3, State::Ok)] {
            let own = Own { destinations: Some(destinations), ..Own::default() };
            let verdict = world.look_with(Kind::Account, judge, &own);
            assert_eq!(verdict.state, state, "{destinations}");
            assert!(!verdict.notes.iter().any(|note| note.contains("Without --config")));
        }
    }
}
