//! What one call costs, meter by meter, and how that came about.
//!
//! The engine books what is computed here and `prices explain` prints it: one computation, so that
//! an explanation cannot differ from what it explains.

use super::amount::Rate;
use super::contract::{Deployed, Discount};
use super::meter::Meter;
use super::rates::{Held, Rates, Why};
use super::spend::{MeterSpend, Spend};
use crate::event::Tokens;
use crate::money::NanoUsd;
use crate::time::EventTime;

/// One call, priced.
#[derive(Debug, Clone, Copy)]
pub struct Bill<'a> {
    /// One line for each of [`Meter::LOGGED`], in that order.
    pub lines: [Line<'a>; Meter::LOGGED.len()],
    /// What the lines are worth together before anything is cut.
    pub uncut: NanoUsd,
}

/// One meter of a call.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Which meter.
    pub meter: Meter,
    /// How many tokens.
    pub tokens: u32,
    /// What they cost, and why.
    pub basis: Basis<'a>,
}

/// Why a line costs what it costs.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// Tokens times price.
    Priced(Priced<'a>),
    /// The capacity is paid by the hour; these tokens cost nothing beside it.
    Provisioned(&'a Deployed),
    /// Nobody knows, which is not nothing.
    Unknown(Why),
}

/// How an amount came about.
#[derive(Debug, Clone, Copy)]
pub struct Priced<'a> {
    /// The row it was taken from.
    pub held: Held<'a>,
    /// The discount taken off.
    pub discount: Option<&'a Discount>,
    /// USD for one unit of the row's currency.
    pub rate: Rate,
    /// Tokens × price, less discount, in USD: rounded once, half to even.
    pub amount: NanoUsd,
    /// The part of it that is booked: all, or what the limit for one call leaves.
    pub booked: NanoUsd,
}

impl Rates {
    /// Prices a call that happened at `at`. Cached tokens beyond the prompt are none.
    #[must_use]
    pub fn bill(&self, tokens: Tokens, at: EventTime) -> Bill<'_> {
        let cached = tokens.cached.min(tokens.input);
        let counts = [tokens.input - cached, cached, tokens.output];
        let mut places = Meter::LOGGED.into_iter().zip(counts);
        let mut lines = std::array::from_fn(|_| {
            let (meter, count) = places.next().unwrap_or((Meter::Input, 0));
            self.line((meter, count), tokens.input, at)
        });
        let uncut = lines.iter().fold(NanoUsd(0), |sum, line| sum.plus(line.amount()));
        let mut left = self.max_per_call();
        for line in &mut lines {
            if let Basis::Priced(priced) = &mut line.basis {
                priced.booked = priced.amount.min(left);
                left = left.plus(-priced.booked);
            }
        }
        Bill { lines, uncut }
    }

    /// What so many calls with so many tokens together cost, as if they were alike: nano-USD, and
    /// tokens without a price. For amounts that are estimated.
    #[must_use]
    pub fn of_many(&self, calls: i64, tokens: [i64; 2], at: EventTime) -> (NanoUsd, i64) {
        let calls = calls.max(1);
        let bill = |tokens: [i64; 2]| {
            let [input, output] = tokens.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            let bill = self.bill(Tokens { input, cached: 0, output }, at);
            (bill.cost().0, bill.unpriced())
        };
        let (cost, unpriced) = bill(tokens.map(|count| count.max(0) / calls));
        let (more_cost, more_unpriced) = bill(tokens.map(|count| count.max(0) % calls));
        let sum = |one: i64, more: i64| one.saturating_mul(calls).saturating_add(more);
        (NanoUsd(sum(cost, more_cost)), sum(unpriced, more_unpriced))
    }

    fn line(&self, (meter, tokens): (Meter, u32), input: u32, at: EventTime) -> Line<'_> {
        let basis = match self.deployed(at).filter(|deployed| deployed.sku.provisioned) {
            Some(deployed) => Basis::Provisioned(deployed),
            None => {
                self.priced((meter, tokens), input, at).map_or_else(Basis::Unknown, Basis::Priced)
            }
        };
        Line { meter, tokens, basis }
    }

    fn priced(
        &self,
        (meter, tokens): (Meter, u32),
        input: u32,
        at: EventTime,
    ) -> Result<Priced<'_>, Why> {
        let held = self.held(meter, input, at)?;
        let price = held.entry.price(meter).ok_or(Why::Meter)?;
        let rate = self.exchange(&held.entry.currency, at).ok_or(Why::Currency)?;
        // What was agreed as a price has been discounted already.
        let discount = self.discount(meter, at).filter(|_| !held.doubt.own);
        let percent = discount.map_or_else(Default::default, |discount| discount.percent);
        let amount = price.times(tokens, percent, rate).ok_or(Why::TooMuch)?;
        Ok(Priced { held, discount, rate, amount, booked: amount })
    }
}

impl Bill<'_> {
    /// What is booked for the call: the sum of its lines, with unknown ones left out.
    #[must_use]
    pub fn cost(&self) -> NanoUsd {
        self.lines.iter().fold(NanoUsd(0), |sum, line| sum.plus(line.booked()))
    }

    /// True when the limit for one call took something away.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cost() < self.uncut
    }

    /// Tokens whose price is unknown.
    #[must_use]
    pub fn unpriced(&self) -> i64 {
        self.lines
            .iter()
            .filter(|line| line.why().is_some())
            .map(|line| i64::from(line.tokens))
            .sum()
    }

    /// Why the first of these has none; `None` when all tokens have a price.
    #[must_use]
    pub fn why(&self) -> Option<Why> {
        self.lines.iter().find_map(Line::why)
    }

    /// The call as it is summed up.
    #[must_use]
    pub fn spend(&self) -> Spend {
        let meters = self.lines.map(|line| {
            let tokens = i64::from(line.tokens);
            let (unpriced, provisioned) = match line.basis {
                Basis::Priced(_) => (0, 0),
                Basis::Provisioned(_) => (0, tokens),
                Basis::Unknown(_) => (tokens, 0),
            };
            MeterSpend { tokens, cost_nano: line.booked().0, unpriced, provisioned }
        });
        Spend { calls: 1, meters, ..Spend::default() }
    }
}

impl Line<'_> {
    /// What the line is worth; nothing where that is unknown.
    fn amount(&self) -> NanoUsd {
        match self.basis {
            Basis::Priced(priced) => priced.amount,
            Basis::Provisioned(_) | Basis::Unknown(_) => NanoUsd(0),
        }
    }

    /// What is booked of it.
    #[must_use]
    pub fn booked(&self) -> NanoUsd {
        match self.basis {
            Basis::Priced(priced) => priced.booked,
            Basis::Provisioned(_) | Basis::Unknown(_) => NanoUsd(0),
        }
    }

    /// Why its tokens have no price; `None` when they have one, and when there are none.
    #[must_use]
    pub fn why(&self) -> Option<Why> {
        match self.basis {
            Basis::Unknown(why) if self.tokens > 0 => Some(why),
            Basis::Priced(_) | Basis::Provisioned(_) | Basis::Unknown(_) => None,
        }
    }
}
