//! `AppMetrics` of Application Insights: tokens that a gateway's policy metered, with dimensions.

use serde_json::value::RawValue;

use super::field::{FieldError, Fields, text_of};
use super::{Decoder, Read, Record, caller, opaque, text};
use crate::event::Event;
use crate::event::gateway::{Counted, TokenMeter};

/// Custom metrics of Application Insights.
pub(super) const DECODER: Decoder = Decoder {
    name: "AppMetrics",
    is: |category, _| category.eq_ignore_ascii_case("AppMetrics"),
    read: Read::With(decode),
    reads: "prompt, completion and total tokens of `llm-emit-token-metric`, with the dimensions the operator chose (subscription, API, caller's network); other metrics are only counted",
    cannot_tell: "single calls (values may be summed up and sampled), and dimensions that were not chosen; Azure zeroes its own caller address",
};

/// Dimensions looked at: Application Insights keeps ten, and adds a few of its own.
const MAX_DIMENSIONS: usize = 32;

/// Reads one point of a token meter.
///
/// # Errors
/// No resource, no time, or a token meter without a sum.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let fields = &record.fields;
    let Some(counted) = counted(&fields.text("Name").unwrap_or_default()) else {
        return Ok(opaque::decode(record));
    };
    let sum = fields.number("Sum").filter(|sum| *sum >= 0.0);
    let sum = sum.ok_or_else(|| FieldError::new("Sum", "is not a number of tokens"))?;
    let dimensions = dimensions(&record.properties);
    let dimension = |names: &[&str]| {
        let value = |wanted: &&str| dimensions.iter().find(|(name, _)| name == wanted);
        let found = names.iter().find_map(value).and_then(|(_, value)| text_of(value));
        text::clean(&found.unwrap_or_default(), text::MAX_NAME_CHARS)
    };
    let address = dimension(&["clientipaddress", "clientip", "calleripaddress", "ipaddress"]);
    Ok(Event::Meter(Box::new(TokenMeter {
        resource: record.resource()?,
        at: record.time()?,
        counted,
        sum,
        min: fields.number("Min"),
        max: fields.number("Max"),
        items: fields.count("ItemCount"),
        gateway: text::clean(&fields.text("AppRoleName").unwrap_or_default(), text::MAX_NAME_CHARS),
        api: dimension(&["apiid", "api", "apiname"]),
        operation: dimension(&["operationid", "operation", "operationname"]),
        subscription: text::nobody(&dimension(&["subscriptionid", "subscription"])),
        product: dimension(&["productid", "product", "productname"]),
        user: text::nobody(&dimension(&["userid", "enduserid"])),
        backend: dimension(&["backendid", "backend"]),
        deployment: text::name(&dimension(&["deploymentname", "deployment", "deploymentid"])),
        model: text::name(&dimension(&["modelname", "model", "modelid"])),
        network: caller::network(&address).unwrap_or_default(),
    })))
}

/// What the metric of this name counts; `None` for a metric that is no token meter.
fn counted(name: &str) -> Option<Counted> {
    match letters(name).as_str() {
        "prompttokens" | "inputtokens" => Some(Counted::Prompt),
        "completiontokens" | "outputtokens" => Some(Counted::Completion),
        "totaltokens" => Some(Counted::Total),
        "cachedtokens" | "promptcachedtokens" | "cachedprompttokens" => Some(Counted::Cached),
        _ => None,
    }
}

/// Dimensions by their names in letters: operators write `API ID`, `api_id` and `apiId`.
fn dimensions<'a>(properties: &Fields<'a>) -> Vec<(String, &'a RawValue)> {
    let members = properties.members().take(MAX_DIMENSIONS);
    members.map(|(name, value)| (letters(name), value)).collect()
}

fn letters(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric).take(text::MAX_NAME_CHARS);
    kept.map(|c| c.to_ascii_lowercase()).collect()
}
