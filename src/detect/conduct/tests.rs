//! Every rule with what it is about, and with what looks like it but for one fact.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::aggregate::names::{NameKind, Names};
use crate::aggregate::rollup::{Amount, Split};
use crate::detect::series::{SLOT_MIN, SLOTS_PER_DAY, Series};
use crate::detect::table;
use crate::known::feed::{Content, Holds};
use crate::known::format::FORMATS;
use crate::known::{Class as Listing, Known};
use crate::money::NanoUsd;
use crate::price::spend::Spend;
use crate::severity::Severity::{High, Low, Medium};
use crate::time::{EventTime, Minute};

/// AS64500 in ZZ, AS64501 in QM, AS64502 in ZZ.
const THIEF: &str = "203.0.113.0/24";
const FAR: &str = "198.51.100.0/24";
const NEAR: &str = "192.0.2.0/25";
/// Nobody knows where.
const OFFICE: &str = "198.18.0.0/24";
const APP: &str = "11111111-1111-1111-1111-111111111111";
const KEY: &str = "";
/// Days of history before the moment of a scenario, which is ten o'clock.
pub(super) const DAYS: i64 = 9;
pub(super) const NOW: i64 = (20_000 + DAYS) * 1_440 + 600;

/// A call as the log tells it, so many times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calls {
    pub(super) to: &'static str,
    pub(super) from: &'static str,
    pub(super) by: &'static str,
    pub(super) asked: Operation,
    pub(super) status: u16,
    pub(super) sent: u32,
    pub(super) times: i32,
    pub(super) tokens: i64,
    pub(super) usd: f64,
}

/// What the application does all day.
pub(super) const USUAL: Calls = Calls {
    to: "chat",
    from: OFFICE,
    by: APP,
    asked: Operation::Chat,
    status: 200,
    sent: 4_000,
    times: 1,
    tokens: 0,
    usd: 0.001,
};

pub(super) const fn thief(status: u16, times: i32) -> Calls {
    Calls { from: THIEF, by: KEY, status, times, ..USUAL }
}

pub(super) struct World {
    conduct: Conduct,
    series: BTreeMap<u32, Series>,
    names: Names,
    known: Known,
    revoked: Vec<EventTime>,
    gateways: Option<&'static [&'static str]>,
    models: BTreeMap<u32, u32>,
    pub(super) open: i64,
}

impl World {
    /// An account at the same use for `days` days, `more` of which is made at ten every day.
    pub(super) fn after(days: i64, more: &[Calls]) -> Self {
        let open = NOW.div_euclid(SLOT_MIN) - days * SLOTS_PER_DAY;
        let (conduct, names) = (Conduct::new(table::profile("TW-A02")), Names::default());
        let known = Known::default();
        let (series, revoked) = (BTreeMap::new(), Vec::new());
        let (gateways, models) = (None, BTreeMap::new());
        let mut world = Self { conduct, series, names, known, revoked, gateways, models, open };
        for day in -days..0 {
            world.call(day * 1_440, Calls { times: 60, ..USUAL });
            more.iter().for_each(|calls| world.call(day * 1_440, *calls));
        }
        world.close_until(NOW.div_euclid(SLOT_MIN) - 12);
        world
    }

    fn knowing(mut self, lists: &[(Listing, &'static str)]) -> Self {
        let lists = lists.iter().map(|(class, text)| {
            let holds = Holds::Networks { format: FORMATS[0], class: *class };
            (class.word(), holds.read(text.as_bytes().to_vec()).unwrap())
        });
        let places = include_bytes!("../../../models/demo/networks.mmdb");
        let mut elsewhere = places.to_vec();
        let at = elsewhere.windows(15).position(|part| part == b"country_codeBZZ").unwrap();
        elsewhere[at + 13..at + 15].copy_from_slice(b"QM");
        let geo: [(&str, Content); 2] = [
            ("asn", Holds::Systems.read(places.to_vec()).unwrap()),
            ("country", Holds::Countries.read(elsewhere).unwrap()),
        ];
        self.known = Known::new(Arc::default(), geo.into_iter().chain(lists));
        self
    }

    fn booking(&mut self, minute: i64, calls: Calls) -> Booking {
        Booking {
            minute: Minute(NOW + minute),
            deployment: self.names.number(NameKind::Deployment, calls.to),
            model: NONE,
            network: self.names.number(NameKind::Network, calls.from),
            identity: self.names.number(NameKind::Identity, calls.by),
            operation: calls.asked,
            status: calls.status,
            sent: calls.sent,
            sign: 1,
            class: Class::OnTime,
            amount: Amount {
                calls: 1,
                input: calls.tokens,
                cost_nano: NanoUsd::from_usd(calls.usd).0,
                ..Amount::default()
            },
            spend: Spend::default(),
            is_cut: false,
            unpriced_why: None,
        }
    }

    /// Makes calls, `minute` minutes after the moment of the scenario.
    pub(super) fn call(&mut self, minute: i64, calls: Calls) {
        let booking = self.booking(minute, calls);
        let Booking { minute, deployment, network, .. } = booking;
        let caller = Caller::new(network, booking.identity, booking.operation);
        for _ in 0..calls.times {
            self.conduct.add(&booking, caller);
        }
        if deployment == NONE {
            return;
        }
        let series = self.series.entry(deployment).or_default();
        let split = Split { on_time: booking.amount, ..Split::default() };
        (0..calls.times).for_each(|_| series.add(minute, caller, split));
        series.saw_network(network, minute);
    }

    pub(super) fn close_until(&mut self, open: i64) {
        (self.open..open).for_each(|slot| self.conduct.close(Slot(slot)));
        self.open = self.open.max(open);
    }

    /// What a rule says half an hour after the moment of the scenario.
    pub(super) fn signs(&self, rule: &str) -> Vec<Sign> {
        self.signs_at(rule, Slot::of(Minute(NOW + 30)))
    }

    pub(super) fn signs_at(&self, rule: &str, slot: Slot) -> Vec<Sign> {
        let scene = Scene::new(slot, &self.conduct, &self.series, &self.names, &self.known)
            .with_revoked(self.revoked.clone())
            .with_models(&self.models)
            .with_gateways(self.gateways.map(|texts| {
                let number = |text: &&str| self.names.known(NameKind::Network, text);
                texts.iter().filter_map(number).collect()
            }));
        RULES
            .iter()
            .filter(|known| known.id == rule)
            .flat_map(|known| known.judge(&scene, table::profile(known.id)))
            .collect()
    }
}

/// What `rule` says of `done` (each in a minute) on an account that was used for `DAYS` days, with `more` at
/// ten every day.
#[track_caller]
pub(super) fn check(rule: &str, more: &[Calls], done: &[(i64, Calls)], expected: Option<Severity>) {
    check_knowing(rule, &[], more, done, expected);
}

#[track_caller]
fn check_knowing(
    rule: &str,
    lists: &[(Listing, &'static str)],
    more: &[Calls],
    done: &[(i64, Calls)],
    expected: Option<Severity>,
) {
    let mut world = World::after(DAYS, more).knowing(lists);
    done.iter().for_each(|(minute, calls)| world.call(*minute, *calls));
    let signs = world.signs(rule);
    assert_eq!(signs.first().map(|sign| sign.severity), expected, "{signs:#?}");
    for sign in signs {
        let Sign { observed, bound, confidence, evidence, unit, .. } = sign;
        assert!(observed >= bound || unit.starts_with("USD"), "{observed} {bound}");
        assert!((0.0..=1.0).contains(&confidence) && !evidence.is_empty());
        assert!(evidence.iter().any(|fact| fact.contains(|c: char| c.is_ascii_digit())));
    }
}

#[test]
fn a_flood_of_calls_of_one_size_is_made_of_clones() {
    let rule = "TW-A01";
    let clones = Calls { times: 200, sent: 777, ..USUAL };
    check(rule, &[], &[(30, clones)], Some(Medium));
    check(rule, &[], &[(30, Calls { times: 199, ..clones })], None);
    check(rule, &[], &[(20, clones)], None);
    // A job that always asks the same.
    check(rule, &[clones], &[(30, clones)], None);
    // As many, of ever different sizes.
    let sizes = (0..200).map(|n| (30, Calls { times: 1, sent: 700 + 7 * n, ..USUAL }));
    check(rule, &[], &sizes.collect::<Vec<_>>(), None);
    // Others call far more.
    let others = (0..200).map(|n| (30, Calls { times: 1, sent: 9_000 + 11 * n, ..USUAL }));
    let most = [(30, clones)].into_iter().chain(others);
    check(rule, &[], &most.collect::<Vec<_>>(), None);
}

#[test]
fn small_faulty_calls_of_a_new_network_and_then_one_that_works_are_a_probe() {
    let rule = "TW-A02";
    let probe = Calls { sent: 120, ..thief(400, 3) };
    let works = (25, thief(200, 1));
    check(rule, &[], &[(20, probe), works], Some(High));
    check(rule, &[], &[(20, Calls { from: OFFICE, ..probe }), (25, USUAL)], None);
    check(rule, &[], &[(20, Calls { sent: 300, ..probe }), works], None);
    check(rule, &[], &[(20, Calls { sent: 0, ..probe }), works], None);
    check(rule, &[], &[(20, Calls { times: 2, ..probe }), works], None);
    check(rule, &[], &[(20, probe), (15, thief(200, 1))], None);
    check(rule, &[], &[(-40, probe), works], None);
    check(rule, &[Calls { from: THIEF, ..USUAL }], &[(20, probe), works], None);
}

#[test]
fn nobody_is_new_on_an_account_of_a_few_days() {
    let mut world = World::after(6, &[]);
    world.call(20, Calls { sent: 120, ..thief(400, 3) });
    world.call(25, thief(200, 1));
    assert_eq!(world.signs("TW-A02"), []);
}

#[test]
fn a_new_network_that_looks_at_everything_enumerates() {
    let rule = "TW-A03";
    let listing = Calls { to: "", asked: Operation::Listing, ..thief(200, 4) };
    check(rule, &[], &[(20, listing)], Some(Medium));
    check(rule, &[], &[(20, Calls { times: 3, ..listing })], None);
    check(rule, &[], &[(-1, listing)], None);
    check(rule, &[Calls { times: 1, ..listing }], &[(20, listing)], None);
    check(rule, &[], &[(20, Calls { from: OFFICE, ..listing })], None);
    let many = ["a", "b", "c", "d", "e"].map(|to| (20, Calls { to, ..thief(200, 1) }));
    check(rule, &[], &many, Some(Medium));
    check(rule, &[], &many[..4], None);
    check(rule, &[], &[(20, thief(404, 10))], Some(Medium));
    check(rule, &[], &[(20, thief(404, 9))], None);
}

#[test]
fn many_refusals_are_a_burst_and_a_key_that_fits_is_graver() {
    let rule = "TW-A04";
    let refused = Calls { to: "", ..thief(401, 20) };
    check(rule, &[], &[(30, refused)], Some(Medium));
    check(rule, &[], &[(30, Calls { times: 19, ..refused })], None);
    check(rule, &[], &[(20, refused)], None);
    check(rule, &[], &[(30, Calls { status: 403, ..refused })], Some(Medium));
    check(rule, &[], &[(30, Calls { status: 404, ..refused })], None);
    check(rule, &[], &[(30, refused), (30, thief(200, 1))], Some(High));
    // An expired secret of one's own.
    check(rule, &[], &[(30, Calls { from: OFFICE, ..refused }), (30, USUAL)], Some(Medium));
    // Five at once every day: twenty are no ten times as many.
    check(rule, &[Calls { times: 5, ..refused }], &[(30, refused)], None);
}

/// What TW-A05 says where keys became worthless `minutes` minutes after the moment of the scenario.
#[track_caller]
fn check_revoked(
    more: &[Calls],
    minutes: &[i64],
    done: &[(i64, Calls)],
    expected: Option<Severity>,
) {
    let mut world = World::after(DAYS, more);
    world.revoked = minutes.iter().map(|minute| Minute(NOW + minute).start()).collect();
    done.iter().for_each(|(minute, calls)| world.call(*minute, *calls));
    let signs = world.signs("TW-A05");
    assert_eq!(signs.first().map(|sign| sign.severity), expected, "{signs:#?}");
}

#[test]
fn who_had_a_key_that_worked_and_is_refused_holds_the_old_one() {
    let (had, refused) = (thief(200, 1), [(20, Calls { to: "", ..thief(401, 3) })]);
    check_revoked(&[had], &[10], &refused, Some(Low));
    check_revoked(&[had], &[-6 * 1_440], &refused, Some(Low));
    // Keys that are switched off are answered with 403.
    check_revoked(&[had], &[10], &[(20, thief(403, 3))], Some(Low));
    check_revoked(&[had], &[10], &[(20, thief(401, 2))], None);
    check_revoked(&[had], &[10], &[(10, thief(401, 3))], None);
    check_revoked(&[had], &[], &refused, None);
    check_revoked(&[had], &[-8 * 1_440], &refused, None);
    // Whoever never had one only guesses; who had an identity never had one.
    check_revoked(&[], &[10], &refused, None);
    check_revoked(&[Calls { by: APP, ..had }], &[10], &refused, None);
    check_revoked(&[had], &[10], &[(20, Calls { by: APP, ..thief(401, 3) })], None);
    // The other one of several that were made anew counts as well.
    check_revoked(&[had], &[-8 * 1_440, 10, 25], &refused, Some(Low));
}

#[test]
fn a_quota_that_is_used_up_for_a_quarter_of_an_hour() {
    let rule = "TW-A06";
    let slot = |minute, limited| {
        [
            (minute, Calls { times: 20, ..USUAL }),
            (minute, Calls { status: 429, times: limited, ..USUAL }),
        ]
    };
    let full = [slot(20, 10), slot(25, 10), slot(30, 10)].concat();
    check(rule, &[], &full, Some(Medium));
    check(rule, &[], &[slot(20, 10), slot(25, 1), slot(30, 10)].concat(), None);
    check(rule, &[], &full[2..], None);
    check(rule, &[Calls { status: 429, times: 2, ..USUAL }], &full, None);
    let few = full.iter().map(|(at, calls)| (*at, Calls { times: calls.times / 2, ..*calls }));
    check(rule, &[], &few.collect::<Vec<_>>(), None);
}

#[test]
fn faults_beyond_the_worst_half_hour_of_most_days_are_a_storm() {
    let rule = "TW-A07";
    let faulty = Calls { status: 400, times: 15, ..USUAL };
    check(rule, &[], &[(10, faulty)], Some(Medium));
    check(rule, &[], &[(10, Calls { times: 9, ..faulty })], None);
    check(rule, &[], &[(-5, faulty)], None);
    check(rule, &[], &[(10, Calls { sent: 120, ..faulty })], None);
    check(rule, &[faulty], &[(10, faulty)], None);
}

#[test]
fn a_use_the_account_never_had_is_new() {
    let rule = "TW-A08";
    let images = Calls { asked: Operation::Images, times: 5, ..USUAL };
    let stolen = Calls { from: THIEF, by: KEY, ..images };
    check(rule, &[], &[(20, images)], Some(Medium));
    check(rule, &[], &[(20, stolen)], Some(High));
    check(rule, &[], &[(20, Calls { by: APP, ..stolen })], Some(Medium));
    check(rule, &[], &[(20, Calls { from: OFFICE, ..stolen })], Some(Medium));
    check(rule, &[], &[(20, Calls { times: 4, ..images })], None);
    check(rule, &[], &[(20, Calls { status: 404, ..images })], None);
    check(rule, &[images], &[(20, images)], None);
    check(rule, &[], &[(20, Calls { asked: Operation::Chat, ..images })], None);
}

#[test]
fn a_new_host_wakes_nobody_without_money_or_key() {
    let rule = "TW-I02";
    let whole = [(Listing::Hosting, "203.0.113.0/24")];
    let one = [(Listing::Hosting, "203.0.113.7")];
    let call = thief(200, 1);
    check_knowing(rule, &whole, &[], &[(20, call)], Some(High));
    check_knowing(rule, &whole, &[], &[(20, Calls { by: APP, ..call })], None);
    check_knowing(rule, &whole, &[], &[(20, Calls { by: APP, usd: 1.0, ..call })], Some(Medium));
    check_knowing(rule, &one, &[], &[(20, call)], Some(Medium));
    check_knowing(rule, &[], &[], &[(20, call)], None);
    check_knowing(rule, &[(Listing::Azure, "203.0.113.0/24")], &[], &[(20, call)], None);
    check_knowing(rule, &whole, &[], &[(20, Calls { status: 401, ..call })], None);
    check_knowing(rule, &whole, &[call], &[(20, call)], None);
    // Another network of the same autonomous system has called for long.
    let neighbour = Calls { from: "203.0.113.128/25", ..call };
    check_knowing(rule, &whole, &[neighbour], &[(20, call)], None);
}

#[test]
fn a_listed_network_is_told_and_a_part_of_one_as_possible() {
    let rule = "TW-I03";
    let whole = [(Listing::Tor, "203.0.113.0/24")];
    let one = [(Listing::Tor, "203.0.113.7")];
    let call = Calls { by: APP, ..thief(200, 1) };
    check_knowing(rule, &whole, &[], &[(20, call)], Some(High));
    check_knowing(rule, &whole, &[call], &[(20, call)], Some(High));
    check_knowing(rule, &one, &[], &[(20, call)], Some(Medium));
    check_knowing(rule, &one, &[call], &[(20, call)], None);
    check_knowing(rule, &whole, &[], &[(20, Calls { status: 403, ..call })], None);
    check_knowing(rule, &[(Listing::Hosting, "203.0.113.0/24")], &[], &[(20, call)], None);
}

#[test]
fn the_first_network_of_a_country_is_new() {
    let rule = "TW-I04";
    let call = thief(200, 1);
    check(rule, &[], &[(20, call)], Some(Medium));
    check(rule, &[], &[(20, Calls { by: APP, ..call })], Some(Low));
    check(rule, &[], &[(20, Calls { from: "198.18.7.0/24", ..call })], None);
    check(rule, &[Calls { from: NEAR, ..USUAL }], &[(20, call)], None);
    check(rule, &[Calls { from: FAR, ..USUAL }], &[(20, call)], Some(Medium));
}

/// What TW-I07 says of an account that should be called through `gateways` alone.
#[track_caller]
fn check_bypass(
    gateways: Option<&'static [&'static str]>,
    done: &[(i64, Calls)],
    expected: Option<Severity>,
) {
    let mut world = World::after(1, &[]);
    world.gateways = gateways;
    done.iter().for_each(|(minute, calls)| world.call(*minute, *calls));
    let signs = world.signs("TW-I07");
    assert_eq!(signs.first().map(|sign| sign.severity), expected, "{signs:#?}");
}

#[test]
fn who_is_served_beside_the_gateway_goes_past_it() {
    let (gateway, both): (&[_], &[_]) = (&[OFFICE], &[OFFICE, THIEF]);
    let (usual, beside) = ((0, Calls { times: 100, ..USUAL }), (5, thief(200, 3)));
    check_bypass(Some(gateway), &[usual, beside], Some(Medium));
    check_bypass(Some(both), &[usual, beside], None);
    // It may be called by anybody, or no log of a gateway comes.
    check_bypass(None, &[usual, beside], None);
    check_bypass(Some(&[]), &[usual, beside], None);
    check_bypass(Some(gateway), &[usual, (5, thief(200, 2))], None);
    check_bypass(Some(gateway), &[usual, (5, thief(401, 9))], None);
    check_bypass(Some(gateway), &[(0, Calls { times: 300, ..USUAL }), beside], None);
    // What a gateway may still tell of.
    check_bypass(Some(gateway), &[usual, (15, thief(200, 3))], None);
    check_bypass(Some(gateway), &[usual, (14, thief(200, 3))], Some(Medium));
}

#[test]
fn nobody_is_in_two_countries_within_the_hour() {
    let rule = "TW-I08";
    let [here, there, near] = [THIEF, FAR, NEAR].map(|from| Calls { from, ..USUAL });
    check(rule, &[], &[(20, here), (25, there)], Some(Medium));
    check(rule, &[], &[(20, here), (25, near)], None);
    check(rule, &[], &[(20, here), (25, Calls { by: "another", ..there })], None);
    check(rule, &[], &[(20, here), (25, Calls { by: KEY, ..there })], None);
    check(rule, &[there], &[(20, here), (25, there)], None);
    check(rule, &[], &[(-40, here), (25, there)], None);
}

#[test]
fn keys_where_identities_called_are_a_switch() {
    let rule = "TW-K06";
    let named = (20, Calls { times: 14, ..USUAL });
    let keyed = Calls { by: KEY, times: 6, ..USUAL };
    check(rule, &[], &[named, (25, keyed)], Some(High));
    check(rule, &[], &[named, (25, Calls { times: 5, ..keyed })], None);
    check(rule, &[], &[(20, Calls { times: 13, ..USUAL }), (25, keyed)], None);
    check(rule, &[], &[named, (25, Calls { status: 401, ..keyed })], None);
    // What only the usage log has told is nobody's.
    check(rule, &[], &[named, (25, Calls { asked: Operation::Untold, ..keyed })], None);
    check(rule, &[keyed], &[named, (25, keyed)], None);
}

#[test]
fn what_is_taken_back_or_late_is_not_tallied() {
    let mut world = World::after(1, &[]);
    let booking = world.booking(20, thief(400, 1));
    let caller = Caller::new(booking.network, booking.identity, booking.operation);
    let before = world.conduct.clone();
    world.conduct.add(&booking, caller);
    world.conduct.add(&booking.reversed(Class::OnTime), caller);
    world.conduct.add(&booking.reversed(Class::Late), caller);
    let sum = |conduct: &Conduct| {
        let deeds = conduct.deeds(Slot::of(Minute(NOW + 20)), 12);
        deeds.fold(Tally::default(), |sum, deed| sum.plus(deed.tally))
    };
    assert_eq!((sum(&before), sum(&world.conduct)), (Tally::default(), Tally::default()));
}

#[test]
fn prompts_longer_than_on_any_day() {
    let long = |times: i32, sent: u32| Calls { times, sent, ..USUAL };
    let found = |days: i64, more: &[Calls], now: &[Calls]| {
        let mut world = World::after(days, more);
        now.iter().for_each(|calls| world.call(5, *calls));
        world.signs("TW-C07")
    };
    let giant = [long(50, 800_000)];
    let told = found(DAYS, &[], &giant);
    assert_eq!(told.len(), 1, "{told:?}");
    for (days, more, now) in [
        (DAYS, &[][..], &[long(50, 12_000)][..]),
        (DAYS, &[], &[long(2, 800_000), long(60, 4_000)]),
        (DAYS, &[], &[long(10, 800_000)]),
        (DAYS, &[], &[Calls { status: 400, ..long(50, 800_000) }]),
        (DAYS, &giant, &giant),
        (2, &[], &giant),
    ] {
        assert_eq!(found(days, more, now), [], "{days} {now:?}");
    }
}

#[test]
fn prompts_that_fill_the_window_of_the_model() {
    let full = |times: i32, sent: u32| Calls { times, sent, tokens: 0, ..USUAL };
    let check = |model: &str, more: &[Calls], now: Calls, is_told: bool| {
        let mut world = World::after(DAYS, more);
        let deployment = world.names.number(NameKind::Deployment, USUAL.to);
        let model = world.names.number(NameKind::Model, model);
        world.models.insert(deployment, model);
        // Too few of so many to be one in twenty.
        world.call(5, Calls { times: 400, ..USUAL });
        world.call(6, now);
        let signs = world.signs("TW-C07");
        assert_eq!(!signs.is_empty(), is_told, "{now:?} {signs:?}");
        assert!(signs.iter().all(|sign| sign.evidence[0].contains("takes 128,000")));
    };
    let model = "gpt-4o@2024-11-20";
    check(model, &[], full(10, 4 * 122_880), true);
    check(model, &[], full(9, 4 * 122_880), false);
    check(model, &[], full(10, 4 * 110_000), false);
    check(model, &[full(10, 4 * 122_880)], full(20, 4 * 122_880), false);
    check("gpt-4.1", &[], full(10, 4 * 122_880), false);
    check("nobody-knows", &[], full(10, 4 * 122_880), false);
}

#[test]
fn a_restart_goes_on_from_what_was_saved() {
    let more = [Calls { to: "", ..thief(401, 7) }, Calls { asked: Operation::Files, ..USUAL }];
    let mut world = World::after(3, &more);
    let body = world.conduct.take_state().unwrap();
    assert_eq!(world.conduct.take_state(), None);
    let again = Past::read(&body).unwrap();
    world.call(0, Calls { times: 9, ..USUAL });
    let mut restored = Conduct { past: again, ..world.conduct.clone() };
    assert_eq!(restored.past(), world.conduct.past());
    let until = Slot::of(Minute(NOW + 20));
    restored.replay(until);
    world.close_until(until.0);
    assert_eq!(restored.past(), world.conduct.past());
    assert_eq!(Past::read("{}"), None);
}

#[test]
fn what_a_caller_controls_is_bounded() {
    let mut world = World::after(1, &[]);
    for n in 0..3_000_u32 {
        let network = format!("10.{}.{}.0/24", n / 256, n % 256);
        let network = world.names.number(NameKind::Network, &network);
        let keyed = Booking { network, ..world.booking(0, Calls { by: KEY, ..USUAL }) };
        world.conduct.add(&keyed, Caller::new(network, NONE, Operation::Chat));
        let booking = Booking { network, ..world.booking(0, Calls { to: "", ..USUAL }) };
        world.conduct.add(&booking, Caller::new(network, NONE, Operation::Listing));
    }
    world.close_until(NOW.div_euclid(SLOT_MIN) + 1);
    let listed = |number: u32| world.conduct.past().first_seen(number).is_some();
    assert_eq!((0..10_000).filter(|number| listed(*number)).count(), 1_024);
    let keyed = |number: u32| world.conduct.past().keyed(number).is_some();
    assert_eq!((0..10_000).filter(|number| keyed(*number)).count(), 1_024);
    world.close_until(NOW.div_euclid(SLOT_MIN) + 20);
    assert_eq!(world.conduct.oldest_slot(), None);
}

#[test]
fn windows_of_the_table_are_those_that_days_are_counted_by() {
    let minutes = |id| table::profile(id).threshold("minutes");
    assert_eq!(scene::whole(minutes("TW-A04")), past::DENIED_SLOTS * SLOT_MIN);
    assert_eq!(scene::whole(minutes("TW-A07")), past::BAD_SLOTS * SLOT_MIN);
    assert_eq!(scene::whole(minutes("TW-A01")), past::CLONE_SLOTS * SLOT_MIN);
    assert_eq!(scene::whole(minutes("TW-C14")), past::CLONE_SLOTS * SLOT_MIN);
    let [share, growth] =
        ["rising_share", "growth"].map(|of| table::profile("TW-C14").threshold(of));
    assert_eq!(pace::RISING, (share, growth));
    for rule in RULES {
        assert_eq!(table::profile(rule.id).id, rule.id);
        assert!(table::profile(rule.id).quiet_slots > 0, "{}", rule.id);
        assert!(minutes(rule.id) <= 60.0, "{}", rule.id);
    }
}
