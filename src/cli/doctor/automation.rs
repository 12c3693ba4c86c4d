//! Whether the operator's automation was reached when it was last called. Doctor reads the database alone, so it does
//! not call it itself.

use super::findings::Finding;
use crate::engine::respond::{Progress, Standing};
use crate::severity::Severity;

/// What there is to say of the last call; `responds`: whether calls are configured.
pub(super) fn reached(responses: &[Standing], responds: bool) -> Option<Finding> {
    if !responds {
        return None;
    }
    let last = responses.iter().rev().find(|one| one.key.is_some());
    let (severity, what) = match last {
        None => (
            Severity::Info,
            "[response] is set, and your automation has never been called".to_owned(),
        ),
        Some(last) => {
            let (title, answer) = (last.title(), last.answer.as_deref().unwrap_or("no answer yet"));
            match last.progress {
                Progress::Failed => (
                    Severity::Medium,
                    format!("your automation was not reached by the last call ({title}): {answer}"),
                ),
                Progress::Refused => (
                    Severity::Medium,
                    format!("your automation refused the last call ({title}): {answer}"),
                ),
                Progress::Confirmed => (
                    Severity::Low,
                    format!("the last call to your automation ({title}) is on its way"),
                ),
                Progress::Proposed | Progress::Cancelled | Progress::Accepted => return None,
            }
        }
    };
    Some(Finding {
        severity,
        topic: "response",
        about: "[response]".to_owned(),
        what,
        why: vec!["A step that people confirm is taken only if the call arrives.".to_owned()],
        commands: vec!["tokenwatch respond test --config tokenwatch.toml".to_owned()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Step;
    use crate::engine::respond::Said;
    use crate::time::ArrivalTime;

    #[track_caller]
    fn check(progress: Option<Progress>, responds: bool, expected: Option<Severity>) {
        let said = Said { by: "ann".to_owned(), at: ArrivalTime(0), why: String::new() };
        let one = progress.map(|progress| Standing {
            id: 1,
            incident: "i".to_owned(),
            step: Step::DisableKeys,
            undo: false,
            resource: String::new(),
            command: String::new(),
            undo_command: String::new(),
            calls_before: 0,
            taken_before: false,
            proposed: said,
            confirmed: None,
            key: Some("k".to_owned()),
            progress,
            answer: Some("answered 403".to_owned()),
        });
        let all: Vec<Standing> = one.into_iter().collect();
        assert_eq!(reached(&all, responds).map(|finding| finding.severity), expected);
    }

    #[test]
    fn the_last_call_says_whether_it_was_reached() {
        check(None, false, None);
        check(None, true, Some(Severity::Info));
        check(Some(Progress::Accepted), true, None);
        check(Some(Progress::Refused), true, Some(Severity::Medium));
        check(Some(Progress::Failed), true, Some(Severity::Medium));
        check(Some(Progress::Failed), false, None);
        check(Some(Progress::Confirmed), true, Some(Severity::Low));
    }
}
