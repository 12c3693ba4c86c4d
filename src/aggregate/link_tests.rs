use proptest::prelude::*;

use super::*;
use crate::aggregate::call::RowFacts;
use crate::event::operation::Operation;
use crate::event::{RowKind, Tokens};
use crate::time::ArrivalTime;

fn direct(call: u128, end_ms: i64, tokens: Option<(u32, u32)>, received: u32) -> Direct {
    let merged = Merged::of(&RowFacts {
        kind: RowKind::Request,
        end: EventTime(end_ms),
        enqueued: ArrivalTime(end_ms),
        deployment: 2,
        model: 0,
        network: 0,
        identity: 0,
        tokens: tokens.map(|(input, output)| Tokens { input, cached: 0, output }),
        partial: false,
        status: 200,
        operation: Operation::Chat,
        sent: received,
        received,
    });
    Direct { call, merged }
}

fn through(at_ms: i64, took_ms: i64, tokens: Option<(u32, u32)>, received: u64) -> ThroughGateway {
    ThroughGateway {
        at: EventTime(at_ms),
        latest: EventTime(at_ms + took_ms),
        gateway: "apim".to_owned(),
        backends: ["aif".to_owned(), String::new()],
        deployment: "chat".to_owned(),
        network: String::new(),
        subject: String::new(),
        status: 200,
        tokens,
        bytes: (received, received),
    }
}

fn linked(direct: &[Direct], through: &[ThroughGateway]) -> Vec<Link> {
    links(direct, through, |name| (name == "chat").then_some(2))
}

#[test]
fn a_call_with_the_same_tokens_within_the_time_is_the_one() {
    let calls = [
        direct(1, 60_000, Some((100, 5)), 0),
        direct(2, 60_000, Some((100, 6)), 0),
        direct(3, 90_000, Some((100, 5)), 0),
    ];
    assert_eq!(linked(&calls, &[through(59_000, 2_000, Some((100, 5)), 0)]), [Link::To(0)]);
    assert_eq!(linked(&calls, &[through(59_000, 2_000, Some((7, 7)), 0)]), [Link::Unmatched]);
    // Within a minute there are two of them.
    assert_eq!(linked(&calls, &[through(59_000, 40_000, Some((100, 5)), 0)]), [Link::Ambiguous]);
}

#[test]
fn two_calls_of_a_gateway_that_could_be_the_same_are_nobodys() {
    let calls = [direct(1, 60_000, Some((100, 5)), 0)];
    let one = through(59_000, 2_000, Some((100, 5)), 0);
    assert_eq!(linked(&calls, &[one.clone(), one]), [Link::Ambiguous; 2]);
}

#[test]
fn without_tokens_sizes_tell_and_without_sizes_nothing_does() {
    let calls = [direct(1, 60_000, None, 9_000), direct(2, 60_000, None, 90_000)];
    assert_eq!(linked(&calls, &[through(59_000, 2_000, None, 9_500)]), [Link::To(0)]);
    assert_eq!(linked(&calls, &[through(59_000, 2_000, None, 0)]), [Link::Unmatched]);
    assert_eq!(linked(&calls, &[through(59_000, 2_000, None, 20_000)]), [Link::Unmatched]);
}

#[test]
fn another_deployment_or_another_result_is_another_call() {
    let calls = [direct(1, 60_000, Some((100, 5)), 0)];
    let same = through(60_000, 0, Some((100, 5)), 0);
    let elsewhere = ThroughGateway { deployment: "other".to_owned(), ..same.clone() };
    let failed = ThroughGateway { status: 429, ..same.clone() };
    let anywhere = ThroughGateway { deployment: String::new(), ..same };
    assert_eq!(linked(&calls, &[elsewhere]), [Link::Unmatched]);
    assert_eq!(linked(&calls, &[failed]), [Link::Unmatched]);
    assert_eq!(linked(&calls, &[anywhere]), [Link::To(0)]);
}

proptest! {
    /// Calls of a gateway, each a true call of the account, beside calls that came directly.
    #[test]
    fn what_is_linked_is_right(
        calls in prop::collection::vec((0_i64..600_000, 0_u32..6, 0_u32..3, any::<bool>()), 0..60)
    ) {
        let (mut account, mut gateway, mut truth) = (Vec::new(), Vec::new(), Vec::new());
        for (call, (end_ms, input, output, passes)) in (0_u128..).zip(calls) {
            if passes {
                gateway.push(through(end_ms - 3_000, 3_100, Some((input, output)), 0));
                truth.push(account.len());
            }
            account.push(direct(call, end_ms, Some((input, output)), 0));
        }
        let found = linked(&account, &gateway);
        for (link, place) in found.iter().zip(truth) {
            match link {
                Link::To(found) => prop_assert_eq!(*found, place),
                Link::Ambiguous => {}
                Link::Unmatched => prop_assert!(false, "the true call was not seen"),
            }
        }
    }
}
