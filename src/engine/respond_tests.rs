use super::*;
use crate::incident::Severity;

const RESOURCE: &str = "/subscriptions/s/resourcegroups/g/providers/x/accounts/aif";
const MINUTE: i64 = MINUTE_MS;

fn incident() -> Incident {
    Incident {
        key: "TW-A04|aif|1|l".to_owned(),
        rule: "TW-A04".to_owned(),
        account: "aif".to_owned(),
        resource_id: Some(RESOURCE.to_owned()),
        severity: Severity::High,
        response: respond::stop_keys(RESOURCE),
        ..Incident::default()
    }
}

fn rules(two_people: bool) -> ResponseRules {
    ResponseRules { steps: Step::ALL.to_vec(), within_ms: 15 * MINUTE, two_people }
}

/// A desk at which people speak, a minute apart unless they say otherwise.
struct Table {
    responses: Responses,
    rules: ResponseRules,
    minute: i64,
    is_so: bool,
}

impl Table {
    fn new(two_people: bool) -> Self {
        Self { responses: Responses::default(), rules: rules(two_people), minute: 0, is_so: false }
    }

    fn ask(&mut self, author: &str, step: Step, ask: Ask) -> Result<Standing, Refused> {
        self.minute += 1;
        let incident = incident();
        let action = Action {
            id: self.minute,
            at: ArrivalTime(self.minute * MINUTE),
            author: author.to_owned(),
            reason: String::new(),
            deed: Deed::Respond { incident: incident.key.clone(), step, ask },
        };
        let about = (&incident, step, ask);
        let next = self.responses.decide(&action, about, &self.rules, self.is_so)?;
        self.put(next.clone());
        Ok(next)
    }

    fn put(&mut self, standing: Standing) {
        self.responses.newest.insert((standing.incident.clone(), standing.step), standing);
    }

    /// Says a word about the keys.
    fn keys(&mut self, author: &str, ask: Ask) -> Result<Standing, Refused> {
        self.ask(author, Step::DisableKeys, ask)
    }

    /// Proposes, confirms and lets the automation answer.
    fn takes(&mut self, propose: Ask, progress: Progress) -> Standing {
        self.keys("ann", propose).unwrap();
        let confirmed = self.keys("bob", Ask::Confirm).unwrap();
        self.put(Standing { progress, ..confirmed.clone() });
        confirmed
    }
}

#[track_caller]
fn refused(found: Result<Standing, Refused>, part: &str) {
    let said = found.unwrap_err().to_string();
    assert!(said.contains(part), "{said}");
}

#[test]
fn a_call_leaves_only_after_a_second_word() {
    let mut table = Table::new(false);
    refused(table.keys("ann", Ask::Confirm), "nothing is proposed");
    let proposed = table.keys("ann", Ask::Propose).unwrap();
    assert_eq!((proposed.progress, proposed.key), (Progress::Proposed, None));
    assert_eq!(proposed.command, incident().response[0].command);
    assert!(proposed.undo_command.ends_with("disableLocalAuth=false"), "{}", proposed.undo_command);
    refused(table.keys("bob", Ask::Propose), "proposed by ann already");
    let confirmed = table.keys("ann", Ask::Confirm).unwrap();
    assert_eq!(confirmed.progress, Progress::Confirmed);
    assert!(confirmed.key.is_some());
    refused(table.keys("ann", Ask::Confirm), "nothing is proposed");
    refused(table.keys("ann", Ask::Propose), "on its way");
}

#[test]
fn a_proposal_ends_after_its_time_and_can_be_taken_back() {
    let mut table = Table::new(false);
    table.keys("ann", Ask::Propose).unwrap();
    table.minute += 14;
    table.keys("ann", Ask::Confirm).unwrap();
    let mut table = Table::new(false);
    table.keys("ann", Ask::Propose).unwrap();
    table.minute += 15;
    refused(table.keys("ann", Ask::Confirm), "propose it again");
    table.keys("ann", Ask::Propose).unwrap();
    table.keys("bob", Ask::Cancel).unwrap();
    refused(table.keys("ann", Ask::Confirm), "nothing is proposed");
    let mut early = Table::new(false);
    early.keys("ann", Ask::Propose).unwrap();
    early.minute -= 9;
    refused(early.keys("bob", Ask::Confirm), "clocks");
}

#[test]
fn two_people_are_two() {
    let mut table = Table::new(true);
    table.keys("Ann", Ask::Propose).unwrap();
    refused(table.keys(" ann ", Ask::Confirm), "somebody else");
    table.keys("bob", Ask::Confirm).unwrap();
}

#[test]
fn only_what_the_incident_carries_and_the_configuration_allows() {
    let mut table = Table::new(false);
    refused(table.ask("ann", Step::CloseNetwork, Ask::Propose), "it has disable-keys");
    table.rules.steps = vec![Step::CloseNetwork];
    refused(table.keys("ann", Ask::Propose), "not among `steps`");
    let mut table = Table::new(false);
    table.is_so = true;
    refused(table.keys("ann", Ask::Propose), "nothing to undo");
}

#[test]
fn what_was_taken_can_be_undone_once_and_taken_again() {
    let mut table = Table::new(false);
    refused(table.keys("ann", Ask::ProposeUndo), "nothing to undo");
    let first = table.takes(Ask::Propose, Progress::Accepted);
    refused(table.keys("ann", Ask::Propose), "undo it first");
    // A proposal that came to nothing changes nothing.
    table.keys("ann", Ask::ProposeUndo).unwrap();
    table.keys("ann", Ask::Cancel).unwrap();
    refused(table.keys("ann", Ask::Propose), "undo it first");
    let undone = table.takes(Ask::ProposeUndo, Progress::Accepted);
    assert_eq!((undone.undo, &undone.command), (true, &first.undo_command));
    refused(table.keys("ann", Ask::ProposeUndo), "nothing to undo");
    let again = table.takes(Ask::Propose, Progress::Refused);
    refused(table.keys("ann", Ask::ProposeUndo), "nothing to undo");
    let keys = [first.key, undone.key, again.key];
    let different: std::collections::BTreeSet<_> = keys.iter().flatten().collect();
    assert_eq!(different.len(), 3);
}

#[test]
fn a_call_that_did_not_arrive_can_be_tried_again_and_undone() {
    let mut table = Table::new(false);
    let first = table.takes(Ask::Propose, Progress::Failed);
    table.keys("ann", Ask::Propose).unwrap();
    let second = table.keys("bob", Ask::Confirm).unwrap();
    assert_ne!(first.key, second.key);
    let mut table = Table::new(false);
    table.takes(Ask::Propose, Progress::Failed);
    table.keys("ann", Ask::ProposeUndo).unwrap();
}

#[test]
fn the_same_words_make_the_same_call() {
    let order = || {
        let mut table = Table::new(false);
        table.keys("ann", Ask::Propose).unwrap();
        table.keys("bob", Ask::Confirm).unwrap().order(&incident()).unwrap()
    };
    assert_eq!(order(), order());
    let body: serde_json::Value = serde_json::from_slice(&order().body).unwrap();
    let of = |name: &str| body.get(name).and_then(serde_json::Value::as_str).unwrap();
    assert_eq!((of("step"), of("proposed_by"), of("confirmed_by")), ("disable-keys", "ann", "bob"));
    assert_eq!((of("resource_id"), of("key")), (RESOURCE, &*order().key));
}
