//! Whether a policy keeps AI resources from being placed and set at will.

use std::collections::BTreeMap;

use super::{Look, Verdict};
use crate::incident::respond::quoted;
use crate::posture::inventory::{About, Assignment, Kind, Part, scope_of};
use crate::posture::listed;

/// The built-in policy that allows resources in listed regions only.
const ALLOWED_LOCATIONS: &str = "e56962a6-4747-49cd-b67b-bf8b01975c4c";
/// Microsoft's cloud security benchmark, which Defender assigns to every subscription: it audits
/// and refuses nothing.
const BENCHMARK: &str =
    "/providers/microsoft.authorization/policysetdefinitions/1f3afdf9-d0c9-4c3d-847f-89da613e70a8";
/// Names of assignments told in one note.
const NAMED: usize = 5;

/// What an assignment does for one resource.
enum Guard {
    /// It refuses something.
    Denies,
    /// It is about this kind of resource and only notes what it finds, or is switched off.
    Watches,
    /// What it does could not be read.
    Unread(String),
    /// It is about other things.
    Other,
}

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    let mut verdict = policies(look);
    verdict.notes.extend(lock(look));
    verdict.notes.extend(filters(look));
    verdict
}

fn policies(look: &Look<'_>) -> Verdict {
    let (region, allowed) = (&look.resource.state.location, &look.own.regions);
    if !allowed.is_empty() && !region.is_empty() && !allowed.contains(region) {
        let finding = format!("It is in {region}, outside the regions that are allowed.");
        return allow_regions(look, Verdict::open(finding));
    }
    let part = &look.subscription.assignments;
    let Some(assignments) = part.value() else {
        let why = part.lack().unwrap_or_default();
        return Verdict::unknown(format!("Policies could not be read: {why}."));
    };
    let (mut denies, mut watches, mut unread, mut why) = (vec![], vec![], vec![], part.lack());
    for assignment in assignments.values().filter(|assignment| applies(assignment, look.id)) {
        match guard(look, assignment) {
            Guard::Denies => denies.push(assignment.name.as_str()),
            Guard::Watches => watches.push(assignment.name.as_str()),
            Guard::Unread(reason) => {
                unread.push(assignment.name.as_str());
                why.get_or_insert(reason);
            }
            Guard::Other => {}
        }
    }
    let verdict = if !denies.is_empty() {
        Verdict::ok(format!("{} what is not wanted.", named(&denies, "refuses", "refuse")))
    } else if let Some(why) = why {
        let finding = match unread.is_empty() {
            true => format!("Not every policy could be read: {why}."),
            false => format!(
                "No policy that could be read refuses anything here; of {} it is not known: {why}.",
                named(&unread, "", "").trim_end()
            ),
        };
        allow_regions(look, Verdict::unknown(finding))
    } else {
        allow_regions(look, Verdict::open("No policy refuses a region, a type or a setting here."))
    };
    let watching = (!watches.is_empty())
        .then(|| format!("{} but refuse nothing.", named(&watches, "watches it,", "watch it,")));
    verdict.note(watching)
}

/// True when the resource lies in the scope and is not left out.
fn applies(assignment: &Assignment, id: &str) -> bool {
    let holds = |scope: &str| {
        let rest = id.strip_prefix(scope);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let above = assignment.scope.starts_with("/providers/microsoft.management/managementgroups/");
    (above || holds(&assignment.scope)) && !assignment.excluded.iter().any(|scope| holds(scope))
}

fn guard(look: &Look<'_>, assignment: &Assignment) -> Guard {
    let definition = &assignment.state.definition;
    if definition == BENCHMARK {
        return Guard::Watches;
    }
    let Some(part) = look.inventory.definitions.get(definition) else {
        return Guard::Unread("the definition was not read".to_owned());
    };
    let Some(found) = part.value() else {
        return Guard::Unread(part.lack().unwrap_or_default());
    };
    let own = match look.resource.kind {
        Kind::Account => About::Account,
        Kind::Search => About::Search,
        Kind::Workspace => About::Workspace,
    };
    if !found
        .about
        .iter()
        .any(|about| *about == own || matches!(about, About::Region | About::Type))
    {
        return Guard::Other;
    }
    let effect = match assignment.effect.as_str() {
        "" => found.effect.as_str(),
        chosen => chosen,
    };
    let enforced = !assignment.state.enforcement.eq_ignore_ascii_case("DoNotEnforce");
    if enforced && effect.eq_ignore_ascii_case("deny") { Guard::Denies } else { Guard::Watches }
}

/// The first few names, and a verb that fits their number.
fn named(names: &[&str], one: &str, many: &str) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("\"{name}\"")).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if names.len() == 1 { one } else { many };
    format!("{}{more} {verb}", listed(&shown))
}

/// Whether somebody must take a lock away before the resource can be deleted.
fn lock(look: &Look<'_>) -> Option<String> {
    let locks = look.subscription.locks.value()?;
    let held = locks.keys().any(|lock| {
        let rest = look.id.strip_prefix(scope_of(lock));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    held.then(|| "A lock holds it.".to_owned())
}

/// What the customer's own content filters let pass, of those that deployments use.
fn filters(look: &Look<'_>) -> Vec<String> {
    let deployments = look.resource.deployments.as_ref().and_then(Part::value);
    let uses = |name: &str| {
        let all = deployments.into_iter().flat_map(BTreeMap::values);
        all.filter(|deployment| deployment.rai_policy.eq_ignore_ascii_case(name)).count()
    };
    let filters = look.resource.filters.as_ref().and_then(Part::value).into_iter().flatten();
    let own = filters.filter(|(_, state)| state.by_microsoft != Some(true));
    let lax = own.map(|(name, state)| (name, uses(name), state.lets_pass()));
    let lax = lax.filter(|(_, users, facts)| *users > 0 && !facts.is_empty());
    let told = lax.map(|(name, users, facts)| {
        format!("Content filter \"{name}\" of {users} deployment(s): {}.", facts.join("; "))
    });
    told.take(NAMED).collect()
}

/// Allows the regions in use, and no other.
fn allow_regions(look: &Look<'_>, verdict: Verdict) -> Verdict {
    let lists = Kind::ALL.into_iter().filter_map(|kind| look.subscription.of(kind).value());
    let mut regions: Vec<&str> =
        lists.flatten().map(|(_, resource)| resource.state.location.as_str()).collect();
    if !look.own.regions.is_empty() {
        regions = look.own.regions.iter().map(String::as_str).collect();
    }
    regions.sort_unstable();
    regions.dedup();
    regions
        .retain(|region| !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric()));
    let regions: Vec<String> = regions.iter().map(|region| format!("\"{region}\"")).collect();
    let regions = if regions.is_empty() { "\"REGION\"".to_owned() } else { regions.join(",") };
    verdict.step(
        "Refuses new resources of any kind outside these regions; what is there stays. Add the \
         other regions you use.",
        format!(
            "az policy assignment create --name tokenwatch-regions --scope {} --policy \
             {ALLOWED_LOCATIONS} --params '{{\"listOfAllowedLocations\":{{\"value\":[{regions}]}}}}'",
            quoted(&format!("/subscriptions/{}", look.subscription_id))
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::control::{AssignmentState, DeploymentState, LockState, RaiFilter, RaiState};
    use crate::posture::inventory::Definition;
    use crate::posture::sample::{SUBSCRIPTION, World};
    use crate::posture::{Own, State};

    fn assigned(name: &str, definition: &str, effect: &str) -> Assignment {
        Assignment {
            name: name.to_owned(),
            scope: format!("/subscriptions/{SUBSCRIPTION}"),
            excluded: Vec::new(),
            effect: effect.to_owned(),
            state: AssignmentState {
                definition: definition.to_owned(),
                ..AssignmentState::default()
            },
        }
    }

    fn world(assignments: Vec<Assignment>) -> World {
        let mut world = World::new();
        let numbered = assignments.into_iter().enumerate();
        let assignments = numbered.map(|(id, assignment)| (id.to_string(), assignment));
        world.subscription().assignments = Part::Read(assignments.collect());
        let about = |effect: &str, about| {
            Part::Read(Definition { effect: effect.to_owned(), about: vec![about] })
        };
        world.inventory.definitions = BTreeMap::from([
            ("regions".to_owned(), about("deny", About::Region)),
            ("local-auth".to_owned(), about("Audit", About::Account)),
            ("search".to_owned(), about("Deny", About::Search)),
        ]);
        world
    }

    #[track_caller]
    fn check(assignments: Vec<Assignment>, state: State, words: &str) -> Verdict {
        let verdict = world(assignments).look(Kind::Account, judge);
        assert_eq!(verdict.state, state, "{}", verdict.finding);
        let said = format!("{} {}", verdict.finding, verdict.notes.join(" "));
        assert!(said.contains(words), "{said}");
        verdict
    }

    #[test]
    fn ok_is_a_policy_that_refuses() {
        let regions = assigned("Regions", "regions", "");
        check(vec![regions.clone()], State::Ok, "\"Regions\" refuses what");
        check(
            vec![assigned("Keys", "local-auth", "Deny"), regions.clone()],
            State::Ok,
            "refuse what",
        );
        let scope = "/providers/microsoft.management/managementgroups/all".to_owned();
        check(vec![Assignment { scope, ..regions }], State::Ok, "\"Regions\" refuses");
    }

    #[test]
    fn open_is_that_none_refuses_anything_here() {
        let verdict = check(vec![], State::Open, "No policy refuses");
        let command = &verdict.steps[0].command;
        assert!(
            command.contains(r#"'{"listOfAllowedLocations":{"value":["eastus2"]}}'"#),
            "{command}"
        );
        let audits = assigned("Keys", "local-auth", "");
        check(vec![audits], State::Open, "\"Keys\" watches it, but");
        check(vec![assigned("Search only", "search", "")], State::Open, "No policy");
        check(vec![assigned("MCSB", BENCHMARK, "")], State::Open, "\"MCSB\" watches");
        let mut off = assigned("Regions", "regions", "");
        off.state.enforcement = "DoNotEnforce".to_owned();
        check(vec![off], State::Open, "watches it");
        let mut elsewhere = assigned("Regions", "regions", "");
        elsewhere.scope.push_str("/resourcegroups/rg-a");
        check(vec![elsewhere], State::Open, "No policy");
        let mut excluded = assigned("Regions", "regions", "");
        excluded.excluded.push(format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-ai"));
        check(vec![excluded], State::Open, "No policy");
    }

    #[test]
    fn unknown_is_a_policy_that_could_not_be_read() {
        let verdict = check(vec![assigned("Our set", "set", "")], State::Unknown, "\"Our set\"");
        assert!(!verdict.steps.is_empty());
        let mut world = world(vec![]);
        world.subscription().assignments = world.forbidden();
        let verdict = world.look(Kind::Search, judge);
        assert_eq!(verdict.state, State::Unknown);
        assert!(verdict.finding.contains("answered 403"), "{}", verdict.finding);
        let cut =
            Part::Cut { value: BTreeMap::new(), limit: "only the first 3 were read".to_owned() };
        world.subscription().assignments = cut;
        assert_eq!(world.look(Kind::Workspace, judge).state, State::Unknown);
    }

    #[test]
    fn a_region_that_is_not_allowed_is_open_whatever_policies_say() {
        let world = world(vec![assigned("Regions", "regions", "")]);
        for (allowed, state) in
            [(vec![], State::Ok), (vec!["eastus2"], State::Ok), (vec!["westeurope"], State::Open)]
        {
            let regions = allowed.into_iter().map(str::to_owned).collect();
            let own = Own { regions, ..Own::default() };
            let verdict = world.look_with(Kind::Account, judge, &own);
            assert_eq!(verdict.state, state);
            let shut = verdict.steps.iter().any(|step| step.command.contains("[\"westeurope\"]"));
            assert_eq!(shut, state == State::Open);
        }
    }

    #[test]
    fn a_filter_in_use_that_lets_much_pass_is_told() {
        let mut world = world(vec![]);
        let state = |by_microsoft, blocking| RaiState {
            by_microsoft: Some(by_microsoft),
            filters: vec![RaiFilter {
                name: "Hate".to_owned(),
                blocking: Some(blocking),
                ..RaiFilter::default()
            }],
            ..RaiState::default()
        };
        let named = |(name, state): (&str, RaiState)| (name.to_owned(), state);
        let filters = [
            ("Lax", state(false, false)),
            ("Microsoft.Default", state(true, false)),
            ("Strict", state(false, true)),
            ("Unused", state(false, false)),
        ];
        world.account().filters = Some(Part::Read(filters.map(named).into()));
        let used = ["lax", "Microsoft.Default", "Strict"].map(|policy| {
            let state =
                DeploymentState { rai_policy: policy.to_owned(), ..DeploymentState::default() };
            (policy.to_owned(), state)
        });
        world.account().deployments = Some(Part::Read(used.into()));
        let notes = world.look(Kind::Account, judge).notes;
        assert_eq!(notes, ["Content filter \"Lax\" of 1 deployment(s): Hate does not block."]);
        world.account().filters = Some(world.forbidden());
        assert!(world.look(Kind::Account, judge).notes.is_empty());
    }

    #[test]
    fn a_lock_is_told() {
        let mut world = world(vec![]);
        let mut held = |scope: &str| {
            let id = format!("{scope}/providers/microsoft.authorization/locks/l");
            world.subscription().locks = Part::Read([(id, LockState::default())].into());
            world.look(Kind::Account, judge).notes
        };
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-ai");
        assert_eq!(held(&group), ["A lock holds it."]);
        assert!(held("/subscriptions/0").is_empty());
    }
}
