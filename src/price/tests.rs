//! Prices as the engine asks for them.

use super::PriceBook;
use crate::event::Tokens;
use crate::time::EventTime;

/// Nano-USD and tokens without a price of a call to a deployment nobody says anything about.
#[track_caller]
fn check(model: &str, tokens: (u32, u32, u32), expected: (i64, i64)) {
    let book = PriceBook::built_in().unwrap();
    let rates = book.rates("account", "deployment", model);
    let (input, cached, output) = tokens;
    let bill = rates.bill(Tokens { input, cached, output }, EventTime(0));
    assert_eq!((bill.cost().0, bill.unpriced()), expected, "{model}");
}

#[test]
fn known_models_cost_what_the_list_says() {
    check("gpt-4o", (1_000_000, 0, 0), (2_500_000_000, 0));
    let parts = 1_500_000_000 + 500_000_000 + 10_000_000;
    check("GPT-4o", (1_000_000, 400_000, 1000), (parts, 0));
    check("gpt-4o@2024-05-13", (1_000_000, 0, 0), (5_000_000_000, 0));
    check("gpt-4o@2031-01-01", (1_000_000, 0, 0), (2_500_000_000, 0));
    check("gpt-4o-2031-01-01", (1_000_000, 0, 0), (2_500_000_000, 0));
}

#[test]
fn a_turbo_is_not_priced_as_what_it_is_named_after() {
    check("gpt-4@turbo-2024-04-09", (1_000_000, 0, 0), (11_000_000_000, 0));
    check("gpt-4@0613", (1_000_000, 0, 0), (30_000_000_000, 0));
    check("gpt-4@1106-Preview", (1_000_000, 0, 0), (10_000_000_000, 0));
    check("gpt-4@vision-preview", (1_000_000, 0, 0), (0, 1_000_000));
}

#[test]
fn unknown_is_never_zero() {
    check("no-such-model", (1, 0, 1), (0, 2));
    check("", (1, 0, 1), (0, 2));
    // Cached tokens of a model whose list has no price for them.
    check("gpt-35-turbo", (1_000_000, 400_000, 0), (300_000_000, 400_000));
    // Sound costs ten times as much as text, and the logs do not say which is which.
    check("gpt-audio", (1_000_000, 0, 1000), (0, 1_001_000));
    // A router's fee is no price of the prompt.
    check("model-router", (1_000_000, 0, 1000), (0, 1_001_000));
}
