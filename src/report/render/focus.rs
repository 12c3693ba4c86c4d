//! `focus.csv`: the week as FOCUS 1.2 charges, one a day, deployment, model and kind of token, to lay
//! beside a cost export.
//!
//! Amounts are estimates at the price book's prices, in the report's currency; the column adds up to
//! the total of the report in it. Tokens without a price have no row: a cost must not be absent there,
//! and unknown is never zero (`spend.csv` has them). What a price list or invoice alone can say
//! (billing account, list price before a discount, price ids) is empty or as good as the cost.

use super::table::{harmless, write};
use crate::days::{Date, DaysError, Step};
use crate::known::owner::subscription_of;
use crate::money::NanoUsd;
use crate::price::meter::Meter;
use crate::report::amount::Currency;
use crate::report::facts::{Day, Facts, Key, priced, short};
use crate::time::Minute;

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
    let place = charge.key.place();
    let sku = facts.skus.get(&place).cloned().unwrap_or_default();
    let owner = facts.owners.of(&place.0, &place.1).map(|owner| owner.name.clone());
    let mut row = charged(charge, facts, (decimal(nano), currency))?;
    row.extend(served(charge, &sku));
    row.push(serde_json::json!({ "owner": owner }).to_string());
    row.extend(ours(charge, owner.unwrap_or_default(), &facts.book));
    Ok(row)
}

/// Amounts and times: the columns to `ListUnitPrice`.
fn charged(
    charge: &Charge<'_>,
    facts: &Facts,
    (cost, currency): (String, &str),
) -> Result<Vec<String>, DaysError> {
    let Charge { day, key, meter, tokens, .. } = charge;
    let month = Step::Month.begin(day.date)?;
    let midnight = |day: Date| {
        let at = facts.zone.moment(&format!("{day}T00:00"));
        at.map(|at| at.to_string()).ok_or(DaysError::OutOfRange)
    };
    let moment = |minute: Minute| minute.start().to_string();
    let text = |text: &str| text.to_owned();
    Ok(vec![
        cost.clone(),
        text("unknown"),
        String::new(),
        text(currency),
        midnight(Step::Month.after(month)?)?,
        midnight(month)?,
        text("Usage"),
        String::new(),
        format!("{} tokens of {}", meter.word(), harmless(&key.model)),
        text("Usage-Based"),
        moment(day.period.until),
        moment(day.period.from),
        tokens.to_string(),
        text("Tokens"),
        cost.clone(),
        cost.clone(),
        text("Microsoft"),
        cost,
        String::new(),
    ])
}

/// What was sold and to whom: the columns from `PricingQuantity` to `SubAccountName`.
fn served(charge: &Charge<'_>, sku: &str) -> Vec<String> {
    let Charge { key, meter, tokens, .. } = charge;
    let (model, _) = model_of(key);
    let text = |text: &str| text.to_owned();
    vec![
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
        text(sku),
        harmless(&format!("{model} {}", meter.word())),
        serde_json::json!({ "Sku": sku }).to_string(),
        String::new(),
        text(subscription_of(&key.account).unwrap_or_default()),
        String::new(),
    ]
}

/// Our own columns.
fn ours(charge: &Charge<'_>, owner: String, book: &str) -> Vec<String> {
    let (model, version) = model_of(charge.key);
    vec![
        String::new(),
        String::new(),
        "Estimated".to_owned(),
        harmless(&charge.key.deployment),
        harmless(model),
        version.to_owned(),
        owner,
        book.to_owned(),
        String::new(),
        charge.meter.word().to_owned(),
    ]
}

fn model_of(key: &Key) -> (&str, &str) {
    key.model.split_once('@').unwrap_or((&key.model, ""))
}

/// 10⁻⁹ of a currency as a decimal number.
fn decimal(nano: i128) -> String {
    let (sign, size) = (if nano < 0 { "-" } else { "" }, nano.unsigned_abs());
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
}
