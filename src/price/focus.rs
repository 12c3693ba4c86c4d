//! A FOCUS cost export (versions 1.0 to 1.2 of that specification, CSV): what Azure billed.

use std::io::Read;

use super::amount::{half_even, loose_decimal};
use super::meter::Meter;
use crate::time::{self, DAY_MS};

/// Longest row looked at, in bytes; Azure's rows have 105 columns and tags.
const MAX_ROW_BYTES: usize = 1024 * 1024;
/// Unreadable rows of which the reason is kept; all are counted.
const MAX_REASONS: usize = 20;
/// The part of a resource id that an AI account has.
const ACCOUNTS: &str = "/providers/microsoft.cognitiveservices/accounts/";

/// Which column of costs is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CostColumn {
    /// What was used is worth, commitments spread over what used them.
    #[default]
    Effective,
    /// What is on the invoice.
    Billed,
}

impl CostColumn {
    /// The column's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Effective => "EffectiveCost",
            Self::Billed => "BilledCost",
        }
    }
}

/// One row of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// AI account, lower-case resource id; `None` for every other resource.
    pub account: Option<String>,
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// Usage is compared; the others are not.
    pub kind: Kind,
    /// What the bill calls the meter; empty when it does not say.
    pub meter: String,
    /// The meter's id, lower case; empty when the export has none.
    pub meter_id: String,
    /// Of the cost.
    pub currency: String,
    /// Cost in 10⁻⁹ of the currency.
    pub nano: i128,
    /// Tokens, where the unit is a number of things.
    pub tokens: Option<i64>,
}

/// What a charge is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What was used that day.
    Usage,
    /// A correction of what was charged before.
    Correction,
    /// Usage over more than one day.
    SeveralDays,
    /// Another category: purchase, tax, credit, adjustment.
    Other(String),
}

/// What reading an export found beside charges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// Rows, unreadable ones included.
    pub rows: u64,
    /// Rows that could not be read.
    pub unreadable: u64,
    /// Of the first of these: line and reason.
    pub reasons: Vec<(u64, String)>,
    /// First and last day (exclusive) that any row is about, since 1970-01-01 UTC.
    pub days: Option<(i64, i64)>,
}

impl Reading {
    /// Adds what was read from another part, called `name`.
    pub fn absorb(&mut self, part: Self, name: &str) {
        self.rows += part.rows;
        self.unreadable += part.unreadable;
        let reasons = part.reasons.into_iter().map(|(line, why)| (line, format!("{name}: {why}")));
        self.reasons.extend(reasons.take(MAX_REASONS.saturating_sub(self.reasons.len())));
        self.days = match (self.days, part.days) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (days, None) | (None, days) => days,
        };
    }
}

/// Why an export cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FocusError {
    /// Not a table of that kind.
    #[error("no FOCUS export: the columns {missing} are missing")]
    Columns {
        /// Names of the missing ones.
        missing: String,
    },
    /// The file itself fails.
    #[error("cannot read line {line}: {reason}")]
    Read {
        /// Where.
        line: u64,
        /// What the reader says.
        reason: String,
    },
}

/// Where the columns are.
struct Columns {
    cost: usize,
    currency: usize,
    start: usize,
    end: usize,
    resource: usize,
    category: Option<usize>,
    class: Option<usize>,
    meter: Option<usize>,
    meter_id: Option<usize>,
    /// Quantity and unit: what was consumed, else what was priced.
    quantities: Vec<(usize, usize)>,
}

/// Reads an export and hands every charge to `take`. A row that cannot be read is counted and told,
/// never summed as nothing.
///
/// # Errors
/// Columns that are missing, or a file that cannot be read to its end.
pub fn read(
    input: impl Read,
    column: CostColumn,
    take: &mut dyn FnMut(Charge),
) -> Result<Reading, FocusError> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let failed = |error: &csv::Error| FocusError::Read {
        line: error.position().map_or(1, csv::Position::line),
        reason: error.to_string(),
    };
    let head = reader.byte_headers().map_err(|error| failed(&error))?.clone();
    let columns = Columns::find(&head, column)?;
    let mut reading = Reading::default();
    let mut row = csv::ByteRecord::new();
    while reader.read_byte_record(&mut row).map_err(|error| failed(&error))? {
        reading.rows += 1;
        let line = row.position().map_or(0, csv::Position::line);
        match columns.charge(&row) {
            Ok((charge, last)) => {
                let (from, until) = reading.days.unwrap_or((charge.day, last));
                reading.days = Some((from.min(charge.day), until.max(last)));
                take(charge);
            }
            Err(reason) => {
                reading.unreadable += 1;
                if reading.reasons.len() < MAX_REASONS {
                    reading.reasons.push((line, reason));
                }
            }
        }
    }
    Ok(reading)
}

impl Columns {
    fn find(head: &csv::ByteRecord, cost: CostColumn) -> Result<Self, FocusError> {
        let names: Vec<String> = head
            .iter()
            .map(|name| {
                let text = String::from_utf8_lossy(name);
                text.trim_start_matches('\u{feff}').trim().to_ascii_lowercase()
            })
            .collect();
        let first = |wanted: &[&str]| {
            let mut wanted = wanted.iter().map(|name| name.to_ascii_lowercase());
            wanted.find_map(|wanted| names.iter().position(|name| *name == wanted))
        };
        let mut missing = Vec::new();
        let mut need = |name: &'static str| {
            first(&[name]).unwrap_or_else(|| {
                missing.push(name);
                0
            })
        };
        let columns = Self {
            cost: need(cost.name()),
            currency: need("BillingCurrency"),
            start: need("ChargePeriodStart"),
            end: need("ChargePeriodEnd"),
            resource: need("ResourceId"),
            category: first(&["ChargeCategory"]),
            class: first(&["ChargeClass"]),
            meter: first(&["SkuMeter", "x_SkuMeterName"]),
            meter_id: first(&["x_SkuMeterId"]),
            quantities: [("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")]
                .iter()
                .filter_map(|(quantity, unit)| first(&[quantity]).zip(first(&[unit])))
                .collect(),
        };
        if missing.is_empty() {
            return Ok(columns);
        }
        Err(FocusError::Columns { missing: missing.join(", ") })
    }

    /// Reads one row; also the first day after it.
    fn charge(&self, row: &csv::ByteRecord) -> Result<(Charge, i64), String> {
        if row.as_slice().len() > MAX_ROW_BYTES {
            return Err(format!("longer than {MAX_ROW_BYTES} bytes"));
        }
        let cell = |place: usize| {
            row.get(place).map_or("", |cell| std::str::from_utf8(cell).unwrap_or_default()).trim()
        };
        let optional = |place: Option<usize>| place.map_or("", cell);
        let moment = |place: usize, name: &str| {
            time::parse(cell(place)).ok_or_else(|| format!("{name} is not a time"))
        };
        let (start, end) =
            (moment(self.start, "ChargePeriodStart")?, moment(self.end, "ChargePeriodEnd")?);
        if end <= start {
            return Err("ChargePeriodEnd is not after ChargePeriodStart".to_owned());
        }
        let nano = loose_decimal(cell(self.cost), 9).ok_or("the cost is not a number")?;
        let currency = cell(self.currency).to_ascii_uppercase();
        if !super::book::is_currency(&currency) {
            return Err("BillingCurrency is not the code of one".to_owned());
        }
        let (day, last) = (start.div_euclid(DAY_MS), (end - 1).div_euclid(DAY_MS) + 1);
        let (category, class) = (optional(self.category), optional(self.class));
        let kind = if class.eq_ignore_ascii_case("correction") {
            Kind::Correction
        } else if !category.is_empty() && !category.eq_ignore_ascii_case("usage") {
            Kind::Other(category.to_lowercase())
        } else if last - day > 1 {
            Kind::SeveralDays
        } else {
            Kind::Usage
        };
        let quantity = self.quantities.iter().find(|(quantity, _)| !cell(*quantity).is_empty());
        let tokens = match quantity {
            None => None,
            Some((quantity, unit)) => tokens(cell(*quantity), cell(*unit))?,
        };
        let charge = Charge {
            account: account_of(cell(self.resource)),
            day,
            kind,
            meter: optional(self.meter).to_owned(),
            meter_id: optional(self.meter_id).to_lowercase(),
            currency,
            nano,
            tokens,
        };
        Ok((charge, last))
    }
}

/// The resource id up to the AI account, lower case.
fn account_of(resource: &str) -> Option<String> {
    let lower = resource.to_lowercase();
    let at = lower.find(ACCOUNTS)? + ACCOUNTS.len();
    let name = lower.get(at..)?.split('/').next().filter(|name| !name.is_empty())?;
    lower.get(..at + name.len()).map(str::to_owned)
}

/// A quantity in units such as `1M`, `1K Tokens` or `Tokens` as a number of things; `None` for other
/// units, such as hours.
fn tokens(quantity: &str, unit: &str) -> Result<Option<i64>, String> {
    let Some(size) = unit_size(unit) else { return Ok(None) };
    let nano = loose_decimal(quantity, 9).ok_or("the quantity is not a number")?;
    let exact = nano.checked_mul(i128::from(size)).ok_or("the quantity is too large")?;
    let whole = i64::try_from(half_even(exact, 1_000_000_000));
    whole.map(Some).map_err(|_| "the quantity is too large".to_owned())
}

fn unit_size(unit: &str) -> Option<i64> {
    let lower = unit.to_ascii_lowercase();
    let bare = lower.trim().trim_end_matches("tokens").trim_end_matches("token").trim();
    if bare.is_empty() {
        return (!lower.trim().is_empty()).then_some(1);
    }
    let digits = bare.find(|c: char| !c.is_ascii_digit()).unwrap_or(bare.len());
    let (number, letter) = bare.split_at_checked(digits)?;
    let scale = match letter.trim() {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(scale).filter(|size| *size > 0)
}

/// What a meter of the bill counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Tokens of this kind.
    Tokens(Meter),
    /// Capacity by the hour.
    Provisioned,
    /// Its name does not say.
    Unknown,
}

/// Reads what a meter counts from its name, such as `5.4 inp Gl 1M Tokens`. Azure abbreviates as it
/// likes: only words that can mean one thing are believed.
#[must_use]
pub fn class_of(meter: &str) -> Class {
    let lower = meter.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
    let says = |known: &[&str]| words.iter().any(|word| known.contains(word));
    if says(&["ptu", "ptus", "provisioned"]) {
        return Class::Provisioned;
    }
    let input = says(&["inp", "input", "in", "prompt"]);
    let output = says(&["outp", "output", "out", "opt", "outpt", "completion"]);
    let cached = says(&["cached", "cache", "cchd"]);
    let written = says(&["write", "wrt", "writes"]);
    let sound = says(&["audio", "aud"]);
    let image = says(&["image", "img", "images"]);
    let meter = match (input, output, cached, sound, image) {
        (_, false, true, false, false) if written => Meter::CacheWrite,
        (_, false, true, false, false) => Meter::Cached,
        (true, false, false, false, false) => Meter::Input,
        (false, true, false, false, false) => Meter::Output,
        (true, false, false, true, false) => Meter::AudioInput,
        (false, true, false, true, false) => Meter::AudioOutput,
        (true, false, false, false, true) => Meter::ImageInput,
        (false, true, false, false, true) => Meter::ImageOutput,
        _ => return Class::Unknown,
    };
    Class::Tokens(meter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "BilledCost,EffectiveCost,BillingCurrency,ChargeCategory,ChargeClass,\
        ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,ResourceId,SkuMeter,x_SkuMeterId\n";
    const ACCOUNT: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/AIF";

    fn all(text: &str, column: CostColumn) -> (Vec<Charge>, Reading) {
        let mut charges = Vec::new();
        let reading = read(text.as_bytes(), column, &mut |charge| charges.push(charge)).unwrap();
        (charges, reading)
    }

    #[test]
    fn a_row_is_read_with_every_field_it_has() {
        let row = format!(
            "1,12.4375,usd,Usage,,2026-10-06T00:00Z,2026-10-07T00:00Z,4.975,1M,{ACCOUNT}/projects/p,\
             \"5.4 inp, Gl \"\"1M\"\" Tokens\",2B3C\n"
        );
        let (charges, reading) = all(&format!("\u{feff}{HEAD}{row}"), CostColumn::Effective);
        let [charge] = charges.as_slice() else { panic!("{charges:?}") };
        let account =
            "/subscriptions/s/resourcegroups/rg/providers/microsoft.cognitiveservices/accounts/aif";
        assert_eq!(charge.account.as_deref(), Some(account));
        assert_eq!(
            (charge.day, charge.nano, charge.tokens),
            (20_732, 12_437_500_000, Some(4_975_000))
        );
        assert_eq!(
            (charge.meter.as_str(), charge.meter_id.as_str()),
            ("5.4 inp, Gl \"1M\" Tokens", "2b3c")
        );
        assert_eq!((charge.kind.clone(), charge.currency.as_str()), (Kind::Usage, "USD"));
        assert_eq!(
            (reading.rows, reading.unreadable, reading.days),
            (1, 0, Some((20_732, 20_733)))
        );
        let (charges, _) = all(&format!("{HEAD}{row}"), CostColumn::Billed);
        assert_eq!(charges.first().map(|charge| charge.nano), Some(1_000_000_000));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_line_and_is_never_nothing() {
        let row = |cost: &str, start: &str, end: &str, quantity: &str| {
            format!("0,{cost},USD,Usage,,{start},{end},{quantity},1M,{ACCOUNT},m,i\n")
        };
        let (day, next) = ("2026-10-06T00:00:00Z", "2026-10-07T00:00:00Z");
        let text = [
            HEAD,
            &row("", day, next, "1"),
            &row("1,5", day, next, "1"),
            &row("1", "yesterday", next, "1"),
            &row("1", next, day, "1"),
            &row("1", day, next, "many"),
            &row("1", day, next, "1"),
        ];
        let (charges, reading) = all(&text.concat(), CostColumn::Effective);
        assert_eq!((charges.len(), reading.rows, reading.unreadable), (1, 6, 5));
        let lines: Vec<u64> = reading.reasons.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 6]);
        assert!(reading.reasons[0].1.contains("cost is not a number"), "{reading:?}");
    }

    #[test]
    fn missing_columns_are_named_together() {
        let error = read("a,b\n".as_bytes(), CostColumn::Effective, &mut |_| {}).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("EffectiveCost, BillingCurrency, ChargePeriodStart"), "{text}");
    }

    #[test]
    fn other_charges_are_told_apart_from_usage() {
        let check = |category: &str, class: &str, end: &str, kind: &Kind| {
            let row =
                format!("0,1,USD,{category},{class},2026-10-06T00:00Z,{end},,,{ACCOUNT},m,i\n");
            let (charges, _) = all(&format!("{HEAD}{row}"), CostColumn::Effective);
            assert_eq!(charges.first().map(|charge| &charge.kind), Some(kind), "{row}");
        };
        check("Usage", "", "2026-10-07T00:00Z", &Kind::Usage);
        check("", "", "2026-10-06T01:00Z", &Kind::Usage);
        check("Usage", "Correction", "2026-10-07T00:00Z", &Kind::Correction);
        check("Usage", "", "2026-11-01T00:00Z", &Kind::SeveralDays);
        check("Tax", "", "2026-10-07T00:00Z", &Kind::Other("tax".to_owned()));
    }

    #[test]
    fn quantities_become_tokens_where_the_unit_counts_things() {
        let check = |quantity: &str, unit: &str, expected: Option<i64>| {
            assert_eq!(tokens(quantity, unit), Ok(expected), "{quantity} {unit}");
        };
        check("4.975", "1M", Some(4_975_000));
        check("0.0015", "1K Tokens", Some(2));
        check("12", "Tokens", Some(12));
        check("2", "10K", Some(20_000));
        check("2", "1 Hour", None);
        check("2", "", None);
        check("-1", "1M", Some(-1_000_000));
        assert!(tokens("x", "1M").is_err());
    }

    #[test]
    fn names_of_meters_are_believed_only_where_they_are_clear() {
        let check = |name: &str, class: Class| assert_eq!(class_of(name), class, "{name}");
        check("5.4 inp Gl 1M Tokens", Class::Tokens(Meter::Input));
        check("gpt 4.1 Inp glbl Tokens", Class::Tokens(Meter::Input));
        check("gpt 4o cached Inp glbl Tokens", Class::Tokens(Meter::Cached));
        check("5.6 cache write inp Gl", Class::Tokens(Meter::CacheWrite));
        check("gpt-4.1-outp-glbl Tokens", Class::Tokens(Meter::Output));
        check("gpt audio inp", Class::Tokens(Meter::AudioInput));
        check("Provisioned Managed Global", Class::Provisioned);
        check("5.4 pro", Class::Unknown);
        check("in and out", Class::Unknown);
        check("", Class::Unknown);
    }
}
