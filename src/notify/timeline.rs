//! When what happened, from the first call to this message.

use crate::incident::{Announcement, Kind};

use super::facts::Limits;
use super::story::speaks_for_itself;
use super::{clean, number};

/// One line of the time line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Time of day, with the date where it is not that of the first moment.
    pub(super) at: String,
    pub(super) what: String,
}

/// Date of the first moment, and the moments in order; where there are too many, those of the
/// incident's life that follow the first are left out.
pub(super) fn moments(announcement: &Announcement, limits: &Limits) -> (String, Vec<Moment>) {
    let moments = all(announcement, limits.moments);
    let day = number::date(moments.first().map_or(announcement.at.0, |(at, _)| *at));
    let excess = moments.len().saturating_sub(limits.moments);
    let kept = moments.into_iter().enumerate().filter(|(at, _)| *at == 0 || *at > excess);
    let shown = kept.map(|(_, (at, what))| {
        let date = number::date(at);
        let clock = number::clock_s(at);
        Moment { at: if date == day { clock } else { format!("{date} {clock}") }, what }
    });
    (day.clone(), shown.collect())
}

/// Every moment, with the newest `newest` of the incident's life.
fn all(announcement: &Announcement, newest: usize) -> Vec<(i64, String)> {
    let Announcement { incident, kind, .. } = announcement;
    let at = announcement.written.unwrap_or(announcement.at);
    let mut moments = Vec::new();
    match (incident.first_call, incident.first_arrival) {
        (Some(call), taken) => {
            moments.push((call.0, "the first call of it ended".to_owned()));
            moments.extend(taken.map(|at| (at.0, "the hub took its record".to_owned())));
        }
        (None, _) if speaks_for_itself(incident) => {}
        (None, _) => {
            let began = incident.first_window.0;
            moments.push((began, "the first anomalous five minutes began".to_owned()));
        }
    }
    let written = match (kind, announcement.written) {
        (_, Some(_)) => "this message was written",
        (Kind::Test, None) => "this test was decided on",
        (_, None) => "this message was decided on",
    };
    let is_told = |what: &str| incident.history.iter().any(|entry| entry.what.starts_with(what));
    if !is_told("opened") {
        moments.push((incident.opened_at.0, "opened".to_owned()));
    }
    let older = incident.history.len().saturating_sub(newest);
    for entry in incident.history.iter().skip(older) {
        let what = clean::untrusted(&entry.what, 120);
        let author = clean::untrusted(&entry.author, 60);
        let by = if author.trim().is_empty() { String::new() } else { format!(" (by {author})") };
        moments.push((entry.at.0, format!("{what}{by}")));
    }
    if let Some(over) = incident.resolved_at.filter(|_| !is_told("resolved") && !is_told("over")) {
        moments.push((over.0, "over".to_owned()));
    }
    // Of equal times the order above is that of cause and effect.
    moments.sort_by_key(|(at, _)| *at);
    match moments.last_mut() {
        Some((last, what)) if *last == at.0 => what.push_str(&format!("; {written}")),
        Some(_) | None => moments.push((at.0, written.to_owned())),
    }
    moments
}

/// From the call to the alert, as far as it was measured.
pub(super) fn delay(announcement: &Announcement) -> String {
    let incident = &announcement.incident;
    let begins = matches!(announcement.kind, Kind::Open | Kind::Test);
    // By our own clock where this message is the alert; else when the incident was opened.
    let alert = announcement.written.filter(|_| begins).unwrap_or(incident.opened_at).0;
    let later = |from: i64, to: i64| {
        let ms = to.saturating_sub(from);
        if ms < 0 { String::new() } else { format!(" ({} later)", number::duration(ms)) }
    };
    let hub = incident.first_arrival.map(|at| at.0);
    match (incident.first_call.map(|at| at.0), hub, incident.delay_azure_s) {
        (Some(call), Some(hub), _) => format!(
            "first call {}, hub {}{}, alert {}{}",
            number::clock_s(call),
            number::clock_s(hub),
            later(call, hub),
            number::clock_s(alert),
            later(hub, alert),
        ),
        (Some(call), None, _) => format!(
            "first call {}, alert {}{}",
            number::clock_s(call),
            number::clock_s(alert),
            later(call, alert)
        ),
        (None, _, Some(azure_s)) => {
            let azure = number::duration(azure_s.saturating_mul(1000));
            format!("Azure took {azure} from the newest call to the hub")
        }
        (None, _, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::facts::LIMITS;
    use crate::notify::sample::announcement;
    use crate::time::ArrivalTime;

    #[test]
    fn the_delay_ends_where_our_own_clock_wrote_the_message() {
        let mut told = announcement(Kind::Open);
        let by_the_hub = delay(&told);
        assert!(by_the_hub.ends_with("alert 03:10:41 (4 min 52 s later)"), "{by_the_hub}");
        told.written = Some(ArrivalTime(told.at.0 + 3_000));
        let measured = delay(&told);
        assert!(measured.ends_with("alert 03:10:44 (4 min 55 s later)"), "{measured}");
        let [limits, ..] = &LIMITS;
        let (_, line) = moments(&told, limits);
        let last = line.last().unwrap();
        assert_eq!(
            (last.at.as_str(), last.what.as_str()),
            ("03:10:44", "this message was written")
        );
        // A reminder is written hours later; the delay is that of the alert.
        told.kind = Kind::Repeat;
        assert_eq!(delay(&told), by_the_hub);
    }
}
