//! Metrics by REST: answers of Azure Monitor's metrics API, which can split a metric by deployment.
//!
//! Both forms are read, that of one resource (`{"value":[…]}`) and that of a batch
//! (`{"values":[{"resourceid":…,"value":[…]}]}`), as they come over the wire or lie in a file. The
//! forms are documented (api versions 2023-10-01 and 2024-02-01); that the names of dimensions come
//! in lower case is not, and any case is taken.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::envelope::MAX_RECORDS;
use super::field::{FieldError, Fields, elements};
use super::metric::{grain_ms, signal};
use super::text::{self, MAX_NAME_CHARS};
use super::{Decoder, Read, Record};
use crate::event::Event;
use crate::event::signal::Metric;
use crate::time::{self, EventTime};

/// Platform metrics that were asked for.
pub(super) const DECODER: Decoder = Decoder {
    name: "Metrics by REST",
    is: |category, fields| {
        let split = |name| {
            let list = fields.raw(name).map(RawValue::get).filter(|text| text.starts_with('['));
            list.is_some_and(|list| list.contains("\"timeseries\""))
        };
        category.is_empty() && (split("values") || split("value"))
    },
    read: Read::Many(decode),
    reads: "every metric the poller asks for, by minute and deployment, provisioned utilisation among them",
    cannot_tell: "who called and with what status; a number that Azure still changes after it was last asked for; and zero: no point is no zero",
};

/// Points read of one answer; Azure's need 40 bytes at least.
const MAX_POINTS: usize = MAX_RECORDS;
/// Longest error code of Azure that is kept.
const MAX_CODE_CHARS: usize = 64;
/// Deployment of a series that says it is split by deployment and names none: it is not the whole
/// account.
const NO_DEPLOYMENT: &str = "(none)";
/// Numbers a point may have.
const NUMBERS: [&str; 5] = ["count", "total", "minimum", "maximum", "average"];
/// Largest number believed of a minute; above it sums of floats begin to lose ones.
const MAX_NUMBER: f64 = 1e15;

/// Where events and what is wrong go.
type Give<'a> = &'a mut dyn FnMut(Result<Event, FieldError>);

/// Reads every point of an answer.
fn decode(record: &Record<'_>, give: Give<'_>) {
    let mut left = MAX_POINTS;
    match record.fields.nested("values") {
        Some(values) => each(&values, "values", give, &mut |item, give| match Fields::read(item) {
            Some(item) => of_resource(&item, &mut left, give),
            None => give(Err(FieldError::new("values", "has an item that is no object"))),
        }),
        None => of_resource(&record.fields, &mut left, give),
    }
    if left == 0 {
        give(Err(FieldError::new("data", format!("has more than {MAX_POINTS} points"))));
    }
}

/// Gives every element of `array` to `read`.
fn each(array: &str, path: &str, give: Give<'_>, read: &mut dyn FnMut(&str, Give<'_>)) {
    let found = elements(array, usize::MAX, &mut |element| read(element, &mut *give));
    if found.is_none() {
        give(Err(FieldError::new(path, "is not a list")));
    }
}

/// The metrics of one resource.
fn of_resource(item: &Fields<'_>, left: &mut usize, give: Give<'_>) {
    let named = item.first_text(&["resourceid"]).map(|id| text::resource(&id));
    let grain_ms = item.text("interval").and_then(|text| grain_ms(&text));
    let metrics = list(item, "value");
    each(&metrics, "value", give, &mut |metric, give| {
        let read = Fields::read(metric)
            .ok_or_else(|| FieldError::new("value", "has a metric that is no object"))
            .and_then(|metric| {
                of_metric(&metric, named.as_deref(), grain_ms, (&mut *left, &mut *give))
            });
        if let Err(error) = read {
            give(Err(error));
        }
    });
}

/// The series of one metric.
fn of_metric(
    metric: &Fields<'_>,
    resource: Option<&str>,
    grain_ms: Option<i64>,
    (left, give): (&mut usize, Give<'_>),
) -> Result<(), FieldError> {
    let name = value_of(metric, "name").ok_or_else(|| FieldError::new("name", "is missing"))?;
    let name = text::clean(&name, MAX_NAME_CHARS);
    let code = metric.text("errorCode").unwrap_or_default();
    if !code.is_empty() && !code.eq_ignore_ascii_case("Success") {
        let code = text::clean(&code, MAX_CODE_CHARS);
        return Err(FieldError::new("errorCode", format!("{name}: {code}")));
    }
    let resource = match resource {
        Some(resource) => resource.to_owned(),
        None => resource_of(metric)?,
    };
    let blank = Metric {
        resource,
        start: EventTime::default(),
        grain_ms,
        signal: signal(&name),
        name,
        deployment: String::new(),
        model: String::new(),
        count: None,
        total: None,
        minimum: None,
        maximum: None,
        average: None,
    };
    let series = list(metric, "timeseries");
    each(&series, "timeseries", give, &mut |series, give| {
        let read = Fields::read(series)
            .ok_or_else(|| FieldError::new("timeseries", "has a series that is no object"))
            .and_then(|series| of_series(&series, blank.clone(), &mut *left, &mut *give));
        if let Err(error) = read {
            give(Err(error));
        }
    });
    Ok(())
}

/// The points of one series.
fn of_series(
    series: &Fields<'_>,
    mut blank: Metric,
    left: &mut usize,
    give: Give<'_>,
) -> Result<(), FieldError> {
    name_series(series, &mut blank)?;
    let data = list(series, "data");
    each(&data, "data", give, &mut |point, give| {
        if *left == 0 {
            return;
        }
        match of_point(point, &blank) {
            Ok(None) => return,
            Ok(Some(metric)) => give(Ok(Event::Metric(Box::new(metric)))),
            Err(error) => give(Err(error)),
        }
        *left -= 1;
    });
    Ok(())
}

/// Reads which deployment and model a series is of.
///
/// # Errors
/// It is split by something else too: a part would be taken for the whole.
fn name_series(series: &Fields<'_>, metric: &mut Metric) -> Result<(), FieldError> {
    const PATH: &str = "metadatavalues";
    let values = list(series, PATH);
    let (mut model, mut version) = (String::new(), String::new());
    let mut wrong = None;
    let read = elements(&values, usize::MAX, &mut |dimension| {
        let Some(fields) = Fields::read(dimension) else {
            wrong = Some("has a dimension that is no object".to_owned());
            return;
        };
        let value = text::name(&fields.text("value").unwrap_or_default());
        let dimension = text::name(&value_of(&fields, "name").unwrap_or_default());
        match dimension.as_str() {
            "modeldeploymentname" if value.is_empty() => {
                NO_DEPLOYMENT.clone_into(&mut metric.deployment);
            }
            "modeldeploymentname" => metric.deployment = value,
            "modelname" => model = value,
            "modelversion" => version = value,
            other => wrong = Some(format!("splits by {other:?}")),
        }
    });
    if read.is_none() {
        wrong = Some("is not a list".to_owned());
    }
    if let Some(wrong) = wrong {
        return Err(FieldError::new(PATH, wrong));
    }
    metric.model = match (model, version) {
        (name, version) if name.is_empty() || version.is_empty() => name,
        (name, version) => text::name(&format!("{name}@{version}")),
    };
    Ok(())
}

/// One point; `None` when it holds no number, as of minutes in which nothing was measured.
fn of_point(point: &str, blank: &Metric) -> Result<Option<Metric>, FieldError> {
    let fields = Fields::read(point)
        .ok_or_else(|| FieldError::new("data", "has a point that is no object"))?;
    let mut numbers = [None; NUMBERS.len()];
    for (number, name) in numbers.iter_mut().zip(NUMBERS) {
        if fields.raw(name).is_none() {
            continue;
        }
        let read = fields.number(name).filter(|number| (0.0..=MAX_NUMBER).contains(number));
        let wrong = || FieldError::new(name, format!("is not a number from 0 to {MAX_NUMBER:e}"));
        *number = Some(read.ok_or_else(wrong)?);
    }
    if numbers.iter().all(Option::is_none) {
        return Ok(None);
    }
    let at = fields.text("timeStamp").and_then(|text| time::parse(&text));
    let at = at.ok_or_else(|| FieldError::new("timeStamp", "is missing or not a time"))?;
    let [count, total, minimum, maximum, average] = numbers;
    let start = EventTime(at);
    Ok(Some(Metric { start, count, total, minimum, maximum, average, ..blank.clone() }))
}

/// The resource of an answer that names it only in the metrics' own ids.
fn resource_of(metric: &Fields<'_>) -> Result<String, FieldError> {
    const END: &str = "/providers/microsoft.insights/metrics/";
    let id = text::resource(&metric.text("id").unwrap_or_default());
    match id.find(END) {
        Some(end) if end > 0 => Ok(id.get(..end).unwrap_or_default().to_owned()),
        Some(_) | None => Err(FieldError::new("id", "names no resource")),
    }
}

/// The text of a list; an empty one when absent, and what stands there when it is no list.
fn list<'a>(fields: &Fields<'a>, name: &str) -> Cow<'a, str> {
    let text = || fields.raw(name).map_or("[]", RawValue::get);
    fields.nested(name).unwrap_or_else(|| Cow::Borrowed(text()))
}

/// A text, or the member `value` of a localised one.
fn value_of(fields: &Fields<'_>, name: &str) -> Option<String> {
    if let Some(text) = fields.text(name) {
        return Some(text.into_owned());
    }
    let nested = fields.nested(name)?;
    Some(Fields::read(&nested)?.text("value")?.into_owned())
}

#[cfg(test)]
mod tests {
    use crate::decode::decode;
    use crate::event::Event;
    use crate::event::signal::{Metric, Signal};

    /// An answer of one series of `InputTokens`, with these dimensions and points.
    fn answer(dimensions: &str, data: &str) -> String {
        format!(
            r#"{{"values":[{{"resourceid":"/A/Accounts/X/","interval":"PT1M","value":[{{"name":{{"value":"InputTokens"}},"timeseries":[{{"metadatavalues":{dimensions},"data":{data}}}],"errorCode":"Success"}}]}}]}}"#
        )
    }

    const CHAT: &str = r#"[{"name":{"value":"modeldeploymentname"},"value":"Chat"}]"#;

    fn metrics(text: &str) -> Vec<Metric> {
        let metric = |event: Event| {
            let Event::Metric(metric) = event else { panic!("{event:?}") };
            *metric
        };
        decode(text.as_bytes()).events.into_iter().map(metric).collect()
    }

    /// What is wrong with the answer, of which nothing else is read.
    #[track_caller]
    fn refused(text: &str, path: &str, reason: &str) {
        let decoded = decode(text.as_bytes());
        assert_eq!(decoded.events, [], "{text}");
        let [rejected] = decoded.rejected.as_slice() else { panic!("{:?}", decoded.rejected) };
        assert_eq!(rejected.category, "Metrics by REST");
        assert_eq!((rejected.path.as_str(), rejected.reason.as_str()), (path, reason), "{text}");
    }

    #[test]
    fn a_point_has_its_deployment_and_what_was_asked_for() {
        let data = r#"[{"timeStamp":"2026-10-06T09:15:00Z","total":138652.0,"TOTAL":1}]"#;
        let [metric] = metrics(&answer(CHAT, data)).try_into().unwrap();
        assert_eq!(
            (metric.resource.as_str(), metric.deployment.as_str()),
            ("/a/accounts/x", "chat")
        );
        assert_eq!((metric.signal, metric.grain_ms), (Signal::InputTokens, Some(60_000)));
        assert_eq!((metric.total, metric.average, metric.count), (Some(138_652.0), None, None));
        assert_eq!(metric.start.to_string(), "2026-10-06T09:15:00Z");
    }

    #[test]
    fn only_what_is_split_by_nothing_is_of_the_whole_account() {
        let data = r#"[{"timeStamp":"2026-10-06T09:15:00Z","total":1}]"#;
        for (dimensions, deployment, model) in [
            ("[]", "", ""),
            (r#"[{"name":"ModelDeploymentName","value":""}]"#, "(none)", ""),
            (r#"[{"name":"ModelDeploymentName","value":null}]"#, "(none)", ""),
            (
                r#"[{"name":"modelname","value":"GPT-5"},{"name":"modelversion","value":"1"}]"#,
                "",
                "gpt-5@1",
            ),
        ] {
            let [metric] = metrics(&answer(dimensions, data)).try_into().unwrap();
            assert_eq!((metric.deployment.as_str(), metric.model.as_str()), (deployment, model));
        }
        let by_status = r#"[{"name":{"value":"StatusCode"},"value":"429"}]"#;
        refused(&answer(by_status, data), "metadatavalues", "splits by \"statuscode\"");
        refused(&answer("[7]", data), "metadatavalues", "has a dimension that is no object");
        refused(&answer("7", data), "metadatavalues", "is not a list");
    }

    #[test]
    fn what_is_no_number_is_refused_and_what_has_none_is_no_zero() {
        let point = |number: &str| {
            answer(CHAT, &format!(r#"[{{"timeStamp":"2026-10-06T09:15:00Z","total":{number}}}]"#))
        };
        for (number, expected) in
            [("0", 0.0_f64), ("0.5", 0.5), ("\"12\"", 12.0), ("1e3", 1000.0), ("1e15", 1e15)]
        {
            let [metric] = metrics(&point(number)).try_into().unwrap();
            assert_eq!(metric.total.map(f64::to_bits), Some(expected.to_bits()), "{number}");
        }
        for number in
            ["-1", "1e16", "1e400", "-1e400", "\"NaN\"", "\"Infinity\"", "true", "[]", "{}", "\"\""]
        {
            refused(&point(number), "total", "is not a number from 0 to 1e15");
        }
        assert_eq!(metrics(&point("null")), []);
        assert_eq!(metrics(&answer(CHAT, r#"[{"timeStamp":"2026-10-06T09:15:00Z"},{}]"#)), []);
        for time in ["null", "\"\"", "7", "\"2026-02-31T25:61:61Z\""] {
            let data = format!(r#"[{{"timeStamp":{time},"total":1}}]"#);
            refused(&answer(CHAT, &data), "timeStamp", "is missing or not a time");
        }
    }

    #[test]
    fn a_bad_point_costs_no_other() {
        let data = r#"[{"timeStamp":"2026-10-06T09:15:00Z","total":"x"},7,
                       {"timeStamp":"2026-10-06T09:16:00Z","total":2}]"#;
        let decoded = decode(answer(CHAT, data).as_bytes());
        assert_eq!((decoded.events.len(), decoded.rejected.len()), (1, 2));
    }

    #[test]
    fn of_many_faults_a_few_are_kept_and_all_counted() {
        let data = format!("[{}]", vec![r#"{"total":"x"}"#; 100].join(","));
        let decoded = decode(answer(CHAT, &data).as_bytes());
        assert_eq!((decoded.rejected.len(), decoded.more_rejected), (5, 95));
    }

    #[test]
    fn points_beyond_the_limit_are_said_not_to_be_read() {
        let point = r#"{"timeStamp":"2026-10-06T09:15:00Z","total":1}"#;
        let decoded =
            decode(answer(CHAT, &format!("[{}]", vec![point; 10_001].join(","))).as_bytes());
        assert_eq!((decoded.events.len(), decoded.rejected.len()), (10_000, 1));
        assert_eq!(decoded.rejected[0].reason, "has more than 10000 points");
    }

    #[test]
    fn a_metric_that_azure_could_not_read_is_refused_by_its_name() {
        let text = answer(CHAT, "[]").replace("Success", "NotFound");
        refused(&text, "errorCode", "InputTokens: NotFound");
        let text = r#"{"value":[{"name":"a","timeseries":[],"id":"/providers/Microsoft.Insights/metrics/a"}]}"#;
        refused(text, "id", "names no resource");
    }

    #[test]
    fn other_objects_with_values_are_left_alone() {
        for text in [r#"{"values":[1]}"#, r#"{"value":"timeseries"}"#, r#"{"values":[]}"#] {
            let decoded = decode(text.as_bytes());
            assert_eq!(decoded.unknown.len(), 1, "{text}");
        }
        // What has a category is what it says.
        let text = format!(r#"{{"category":"Trace",{}"#, answer(CHAT, "[]").get(1..).unwrap());
        let decoded = decode(text.as_bytes());
        assert!(matches!(decoded.events.as_slice(), [Event::Opaque(_)]), "{decoded:?}");
    }
}
