//! An answer as several of the same shape, none of them too long to be decoded.

use crate::decode::field::{Fields, elements};
use crate::decode::text;

/// Size at which an answer is cut. A series is never cut: it has an hour of points at most.
const MAX_BYTES: usize = 256 * 1024;

/// Answers of the documented shape, and what the whole left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bodies that the decoder reads.
    pub(super) bodies: Vec<Vec<u8>>,
    /// Accounts the answer is about.
    pub(super) resources: usize,
    /// Metrics with as many series as were allowed, in words: there may be more.
    pub(super) full: Vec<String>,
}

/// What is said of an answer that is not as documented.
const NOT_AS_DOCUMENTED: &str = "the answer is not as documented";

/// Cuts an answer of the batch API. Metrics without a series are left out, unless they say why.
///
/// # Errors
/// It is no such answer, or is cut off.
pub(super) fn cut(answer: &[u8], top: usize) -> Result<Cut, &'static str> {
    let answer = std::str::from_utf8(answer).map_err(|_| NOT_AS_DOCUMENTED)?;
    let answer = Fields::read(answer).ok_or(NOT_AS_DOCUMENTED)?;
    let values = answer.raw("values").ok_or(NOT_AS_DOCUMENTED)?.get();
    let mut writer = Writer::default();
    let mut cut = Cut::default();
    each(values, &mut |item| {
        cut.resources += 1;
        let item = Fields::read(item).ok_or(NOT_AS_DOCUMENTED)?;
        let head = head(&item, "value");
        writer.next_item();
        let metrics = item.raw("value").ok_or(NOT_AS_DOCUMENTED)?.get();
        each(metrics, &mut |metric| {
            let metric = Fields::read(metric).ok_or(NOT_AS_DOCUMENTED)?;
            let heads = [head.as_str(), &self::head(&metric, "timeseries")];
            writer.next_metric();
            let series = metric.raw("timeseries").map_or("[]", |raw| raw.get());
            let count = each(series, &mut |series| {
                writer.add(heads, series);
                Ok(())
            })?;
            if count == 0 && is_fault(&metric) {
                writer.add(heads, "");
            }
            if count >= top {
                let resource = item.text("resourceid").unwrap_or_default();
                let name = metric.nested("name").and_then(|name| {
                    Some(Fields::read(&name)?.text("value")?.into_owned())
                });
                let what = format!("{} of {resource} has {count} series, as many as were asked for: there may be more", name.unwrap_or_default());
                cut.full.push(text::clean(&what, text::MAX_RESOURCE_CHARS));
            }
            Ok(())
        })
        .map(drop)
    })?;
    writer.finish();
    cut.bodies = writer.bodies;
    Ok(cut)
}

/// Gives every element to `read`; how many there are.
fn each(
    array: &str,
    read: &mut dyn FnMut(&str) -> Result<(), &'static str>,
) -> Result<usize, &'static str> {
    let mut result = Ok(());
    let count = elements(array, usize::MAX, &mut |element| {
        if result.is_ok() {
            result = read(element);
        }
    });
    result.and(count.ok_or(NOT_AS_DOCUMENTED))
}

fn is_fault(metric: &Fields<'_>) -> bool {
    let code = metric.text("errorCode").unwrap_or_default();
    !code.is_empty() && !code.eq_ignore_ascii_case("success")
}

/// An object as far as the list `last`, which is put at its end.
fn head(fields: &Fields<'_>, last: &str) -> String {
    let mut text = "{".to_owned();
    for (name, value) in fields.members().filter(|(name, _)| !name.eq_ignore_ascii_case(last)) {
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        text.push_str(value.get());
        text.push(',');
    }
    text.push_str(&format!("\"{last}\":["));
    text
}

/// Writes series one after the other, with their heads wherever a new body begins.
#[derive(Default)]
struct Writer {
    bodies: Vec<Vec<u8>>,
    body: String,
    /// The item and the metric of the next series are those of the last one.
    same: [bool; 2],
}

impl Writer {
    const END_OF_METRIC: &str = "]}";
    const END_OF_ITEM: &str = "]}]}";
    const END: &str = "]}]}]}";

    const fn next_item(&mut self) {
        self.same = [false; 2];
    }

    const fn next_metric(&mut self) {
        self.same[1] = false;
    }

    fn add(&mut self, [item, metric]: [&str; 2], series: &str) {
        if self.body.len() + item.len() + metric.len() + series.len() > MAX_BYTES {
            self.finish();
        }
        match (self.body.is_empty(), self.same) {
            (true, _) => self.body.push_str("{\"values\":["),
            (false, [true, true]) => self.body.push(','),
            (false, [true, false]) => self.body.push_str(&format!("{},", Self::END_OF_METRIC)),
            (false, [false, _]) => self.body.push_str(&format!("{},", Self::END_OF_ITEM)),
        }
        if !self.same[0] {
            self.body.push_str(item);
        }
        if !self.same[1] {
            self.body.push_str(metric);
        }
        self.body.push_str(series);
        self.same = [true; 2];
    }

    fn finish(&mut self) {
        if !self.body.is_empty() {
            self.body.push_str(Self::END);
            self.bodies.push(std::mem::take(&mut self.body).into_bytes());
        }
        self.same = [false; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use crate::event::Event;

    fn sample() -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/samples/");
        std::fs::read(format!("{folder}metrics-rest-batch.json")).unwrap()
    }

    fn events(bodies: &[Vec<u8>]) -> Vec<Event> {
        let decoded = bodies.iter().map(|body| decode(body));
        decoded
            .flat_map(|decoded| {
                assert_eq!(decoded.rejected, []);
                decoded.events
            })
            .collect()
    }

    #[test]
    fn pieces_say_what_the_whole_says() {
        let cut = cut(&sample(), 2).unwrap();
        assert_eq!((cut.bodies.len(), cut.resources), (1, 2));
        assert_eq!(events(&cut.bodies), decode(&sample()).events);
        let [full] = cut.full.as_slice() else { panic!("{:?}", cut.full) };
        assert!(
            full.starts_with("ModelRequests of /subscriptions/") && full.contains("has 2 series")
        );
    }

    /// An answer of two accounts with two metrics each and `series` series of 60 points.
    fn large(series: usize) -> Vec<u8> {
        let points: Vec<_> = (0..60)
            .map(|minute| {
                format!(r#"{{"timeStamp":"2026-10-06T09:{minute:02}:00Z","total":{minute}}}"#)
            })
            .collect();
        let one = |n: usize| {
            format!(
                r#"{{"metadatavalues":[{{"name":{{"value":"modeldeploymentname"}},"value":"d{n}"}}],"data":[{}]}}"#,
                points.join(",")
            )
        };
        let all: Vec<_> = (0..series).map(one).collect();
        let metric = |name: &str| {
            format!(
                r#"{{"name":{{"value":"{name}"}},"timeseries":[{}],"errorCode":"Success"}}"#,
                all.join(",")
            )
        };
        let item = |account: &str| {
            format!(
                r#"{{"interval":"PT1M","value":[{},{}],"resourceid":"/a/accounts/{account}"}}"#,
                metric("InputTokens"),
                metric("OutputTokens")
            )
        };
        format!(r#"{{"values":[{},{}]}}"#, item("x"), item("y")).into_bytes()
    }

    #[test]
    fn a_long_answer_is_cut_between_series_and_loses_nothing() {
        let cut = cut(&large(200), 1_000).unwrap();
        assert!(cut.bodies.len() > 8, "{}", cut.bodies.len());
        assert!(cut.bodies.iter().all(|body| body.len() < MAX_BYTES + 1024));
        let events = events(&cut.bodies);
        assert_eq!(events.len(), 2 * 2 * 200 * 60);
        let of = |name: &str| {
            let found = events.iter().filter(|event| {
                let Event::Metric(metric) = event else { panic!("{event:?}") };
                metric.name == name && metric.resource == "/a/accounts/y"
            });
            found.count()
        };
        assert_eq!((of("InputTokens"), of("OutputTokens")), (12_000, 12_000));
        assert_eq!(cut.full, Vec::<String>::new());
    }

    #[test]
    fn what_azure_could_not_read_is_passed_on_and_what_is_empty_is_not() {
        let answer = |code: &str| {
            format!(
                r#"{{"values":[{{"resourceid":"/a","value":[{{"name":{{"value":"InputTokens"}},"timeseries":[],"errorCode":"{code}"}}]}}]}}"#
            )
        };
        assert_eq!(cut(answer("Success").as_bytes(), 10).unwrap().bodies.len(), 0);
        let [body] = cut(answer("Oops").as_bytes(), 10).unwrap().bodies.try_into().unwrap();
        assert_eq!(decode(&body).rejected[0].reason, "InputTokens: Oops");
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_no_answer() {
        let whole = sample();
        for length in [0, 1, whole.len() / 2, whole.len() - 3] {
            assert!(cut(whole.get(..length).unwrap(), 10).is_err(), "{length}");
        }
        for text in
            ["{}", "[]", "<html>", "{\"values\":7}", "{\"values\":[7]}", "{\"values\":[{}]}"]
        {
            assert!(cut(text.as_bytes(), 10).is_err(), "{text}");
        }
        assert!(cut(&[0xff, 0xfe], 10).is_err());
        assert_eq!(cut(b"{\"values\":[]}", 10), Ok(Cut::default()));
    }
}
