//! `focus.csv`: the week as FOCUS 1.2 charges, one a day, deployment, model and kind of token, to lay
//! beside a cost export.
//!
//! Amounts are estimates at the price book's prices, in the report's currency; the column adds up to
//! the total of the report in it. Tokens without a price have no row: a cost must not be absent there,
//! and unknown is never zero (`spend.csv` has them). What a price list or invoice alone can say
//! (billing account, list price before a discount, price ids) is empty or as good as the cost.

use super::table::{harmless, write};
use crate::days::{DaysError, Step};
use crate::known::owner::subscription_of;
use crate::money::NanoUsd;
use crate::price::meter::Meter;
use crate::report::amount::Currency;
use crate::report::facts::{Day, Facts, Key, priced, short};
use crate::time::EventTime;

/// Names of the columns: those of FOCUS 1.2 in the order of the alphabet, then our own.
pub const COLUMNS: [&str; 47] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceDetails",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_AttributionConfidence",
    "x_CallerPrefix",
    "x_CostBasis",
    "x_Deployment",
    "x_Model",
    "x_ModelVersion",
    "x_Owner",
    "x_PriceBookVersion",
    "x_PrincipalId",
    "x_TokenType",
];

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FocusError {
    /// A date beyond the calendar.
    #[error(transparent)]
    Days(#[from] DaysError),
    /// The table could not be written.
    #[error(transparent)]
    Csv(#[from] csv::Error),
}

/// One charge before its amount is in the currency.
struct Charge<'a> {
    day: &'a Day,
    key: &'a Key,
    meter: Meter,
    tokens: i64,
    cost: NanoUsd,
}

/// The charges of the week.
///
/// # Errors
/// A date beyond the calendar.
pub fn csv(facts: &Facts, currency: &Currency) -> Result<String, FocusError> {
    let mut charges = Vec::new();
    for day in facts.week_days() {
        for (key, sum) in &day.lines {
            for (meter, spent) in Meter::LOGGED.into_iter().zip(sum.spend.meters) {
                let (tokens, cost) = (priced(spent), NanoUsd(spent.cost_nano));
                if tokens != 0 || cost.0 != 0 {
                    charges.push(Charge { day, key, meter, tokens, cost });
                }
            }
        }
    }
    let nanos = currency.nanos(&charges.iter().map(|charge| charge.cost).collect::<Vec<_>>());
    let rows: Result<Vec<_>, DaysError> = charges
        .iter()
        .zip(nanos)
        .map(|(charge, nano)| row(charge, facts, (nano, &currency.code)))
        .collect();
    Ok(write(&COLUMNS, rows?)?)
}

fn row(
    charge: &Charge<'_>,
    facts: &Facts,
    (nano, currency): (i128, &str),
) -> Result<Vec<String>, DaysError> {
    let Charge { day, key, meter, tokens, .. } = charge;
    let (place, month) = (key.place(), Step::Month.begin(day.date)?);
    let next = Step::Month.after(month)?;
    let moment = |at: EventTime| at.to_string();
    let cost = decimal(nano);
    let (model, version) = key.model.split_once('@').unwrap_or((&key.model, ""));
    let subscription = subscription_of(&key.account).unwrap_or_default();
    let kind = match meter {
        Meter::Cached => "cached prompt tokens",
        Meter::Output => "generated tokens",
        _ => "prompt tokens",
    };
    let sku = facts.skus.get(&place).cloned().unwrap_or_default();
    let owner = facts.owners.of(&place.0, &place.1).map(|owner| owner.name.clone());
    let midnight = |day: crate::days::Date| {
        let at = facts.zone.moment(&format!("{day}T00:00"));
        at.map(moment).ok_or(DaysError::OutOfRange)
    };
    let (month_from, month_until) = (midnight(month)?, midnight(next)?);
    let day_ends = [day.period.from, day.period.until].map(|minute| moment(minute.start()));
    let [day_from, day_until] = day_ends;
    let text = |text: &str| text.to_owned();
    Ok(vec![
        cost.clone(),
        text("unknown"),
        String::new(),
        text(currency),
        month_until,
        month_from,
        text("Usage"),
        String::new(),
        format!("{} of {}", kind, harmless(&key.model)),
        text("Usage-Based"),
        day_until,
        day_from,
        tokens.to_string(),
        text("Tokens"),
        cost.clone(),
        cost.clone(),
        text("Microsoft"),
        cost,
        String::new(),
        tokens.to_string(),
        text("Tokens"),
        text("Microsoft"),
        text("Microsoft"),
        String::new(),
        harmless(&key.account),
        harmless(short(&key.account)),
        text("Microsoft.CognitiveServices/accounts"),
        text("AI and Machine Learning"),
        text("Azure OpenAI"),
        text("Generative AI"),
        sku.clone(),
        format!("{model} {}", meter.word()),
        serde_json::json!({ "Sku": sku }).to_string(),
        String::new(),
        text(subscription),
        String::new(),
        serde_json::json!({ "owner": owner }).to_string(),
        String::new(),
        String::new(),
        text("Estimated"),
        harmless(&key.deployment),
        harmless(model),
        text(version),
        owner.unwrap_or_default(),
        facts.book.clone(),
        String::new(),
        text(meter.word()),
    ])
}

/// 10⁻⁹ of a currency as a decimal number.
fn decimal(nano: i128) -> String {
    let (sign, size) = (if nano < 0 { "-" } else { "" }, nano.unsigned_abs());
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
}
