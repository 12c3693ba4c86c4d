//! The simulated estate: accounts, deployments, models and who usually calls.

use std::borrow::Cow;
use std::ops::Range;

use super::Options;
use super::record::{Call, CallKind};

/// Deployments there are names and shapes for.
pub const MAX_DEPLOYMENTS: usize = 6;

/// Requests per hour of real clients (see models/shapes/NOTICE).
const SHAPES: &str = include_str!("../../models/shapes/servegen.csv");

/// What the models cost in USD per million tokens: input, cached, output; a test compares them with
/// the price book, which the truth must not read.
pub const MODELS: [(&str, &str, [&str; 3]); 4] = [
    ("gpt-4o", "2024-11-20", ["2.5", "1.25", "10"]),
    ("gpt-4o-mini", "2024-07-18", ["0.15", "0.075", "0.6"]),
    ("gpt-4.1", "2025-04-14", ["2", "0.5", "8"]),
    ("gpt-4.1-mini", "2025-04-14", ["0.4", "0.1", "1.6"]),
];

/// Subscription and resource group of every simulated account.
const SCOPE: &str = "/SUBSCRIPTIONS/3F0C1D2E-7A4B-4C58-9D6E-1B2A3C4D5E6F/RESOURCEGROUPS/RG-AI-PROD";

/// name, account, model, load, median input tokens, median output tokens, cached share.
type Sketch = (&'static str, &'static str, usize, f64, f64, f64, f64);

const SKETCHES: [Sketch; MAX_DEPLOYMENTS] = [
    ("chat-prod", "aif-contoso-prod", 0, 1.4, 2400.0, 350.0, 0.4),
    ("agent-prod", "aif-contoso-prod", 2, 1.0, 6000.0, 500.0, 0.6),
    ("support-bot", "aif-contoso-prod", 1, 1.2, 1800.0, 260.0, 0.3),
    ("summaries", "aif-contoso-lab", 0, 0.8, 5200.0, 420.0, 0.0),
    ("code-review", "aif-contoso-lab", 2, 0.9, 4200.0, 600.0, 0.5),
    ("triage-mini", "aif-contoso-lab", 3, 0.7, 1500.0, 120.0, 0.2),
];

/// Every deployment.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// In a fixed order.
    pub deployments: Vec<Deployment>,
}

/// One deployment and its usual traffic.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// As Azure writes it.
    pub resource: String,
    /// Account name, lower case.
    pub account: Cow<'static, str>,
    /// Lower case.
    pub name: Cow<'static, str>,
    /// Place in [`MODELS`].
    pub model: usize,
    /// Share of the fleet's mean load.
    pub load: f64,
    /// Usual callers: the first few numbers of a /24 and an object id, empty for a key.
    pub callers: Vec<(String, String)>,
    /// True for records of the 2024 shape, whose request rows carry no tokens.
    pub old_shape: bool,
    /// Of a hundred calls so many find the quota used up.
    pub(super) refused_percent: u32,
    /// A span without usual calls, in milliseconds since 1970.
    pub(super) silent_ms: Range<i64>,
    pub(super) shape: Vec<f64>,
    pub(super) input: f64,
    pub(super) output: f64,
    pub(super) cached_share: f64,
}

impl Fleet {
    /// The first `deployments` of the fleet under this seed.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let count = usize::try_from(options.deployments).unwrap_or(1).clamp(1, MAX_DEPLOYMENTS);
        let shapes: Vec<Vec<f64>> = SHAPES
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(',').skip(1).filter_map(|value| value.parse().ok()).collect())
            .collect();
        let sketches = SKETCHES.iter().zip(shapes).take(count).enumerate();
        let deployments = sketches.map(|(number, (sketch, shape))| {
            let place = u64::try_from(number).unwrap_or(0);
            let mut random = super::random(options.seed, "callers", place);
            Deployment::new(number, *sketch, shape, &mut random)
        });
        Self { deployments: deployments.collect() }
    }
}

impl Deployment {
    fn new(number: usize, sketch: Sketch, shape: Vec<f64>, random: &mut fastrand::Rng) -> Self {
        let (name, account, model, load, input, output, cached_share) = sketch;
        let callers = (0..random.usize(3..=6)).map(|caller| {
            let network = format!("198.18.{}", number * 16 + caller);
            let identity = if random.bool() { guid(random) } else { String::new() };
            (network, identity)
        });
        Self {
            resource: format!(
                "{SCOPE}/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/{}",
                account.to_uppercase()
            ),
            account: Cow::Borrowed(account),
            name: Cow::Borrowed(name),
            model,
            load,
            callers: callers.collect(),
            old_shape: number == 3,
            refused_percent: 2,
            silent_ms: 0..0,
            shape,
            input,
            output,
            cached_share,
        }
    }

    /// Load of an hour relative to the mean; repeats after two weeks.
    #[must_use]
    pub fn shape(&self, hour: i64) -> f64 {
        let hours = i64::try_from(self.shape.len().max(1)).unwrap_or(1);
        let place = usize::try_from(hour.rem_euclid(hours)).unwrap_or(0);
        self.shape.get(place).copied().unwrap_or(1.0)
    }

    /// Mean tokens of a usual call.
    #[must_use]
    pub fn mean_tokens(&self) -> f64 {
        (self.input + self.output) * 1.13 // e^(σ²/2) with σ = 0.5
    }

    /// A call as the usual callers make them.
    pub fn usual_call(&self, end_ms: i64, random: &mut fastrand::Rng) -> Call {
        let (network, identity) = random.choice(&self.callers).cloned().unwrap_or_default();
        let failed = random.u32(0..100) < self.refused_percent;
        let control = random.u32(0..100) < 3;
        let input = log_normal(self.input, random).min(60_000);
        let cached = if random.f64() < self.cached_share { input / 2 / 128 * 128 } else { 0 };
        Call {
            kind: match (failed, control) {
                (_, true) => CallKind::Control,
                (true, false) => CallKind::Refused(429),
                (false, false) => CallKind::Served,
            },
            input,
            cached,
            output: log_normal(self.output, random).min(8_000),
            ..Call::of(self, end_ms, network, identity, random)
        }
    }
}

/// A log-normal count with this median and σ = 0.5.
#[expect(clippy::cast_possible_truncation, reason = "saturates; the callers bound it")]
#[expect(clippy::cast_sign_loss, reason = "an exponential is positive")]
fn log_normal(median: f64, random: &mut fastrand::Rng) -> u32 {
    // Box and Muller 1958.
    let radius = (-2.0 * random.f64().max(1e-12).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
    (median * (0.5 * normal).exp()).round().max(1.0) as u32
}

/// A random identifier in the form of a GUID.
pub fn guid(random: &mut fastrand::Rng) -> String {
    let (a, b) = (random.u64(..), random.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xFFFF,
        a & 0xFFF,
        b >> 52,
        b & 0xFFFF_FFFF_FFFF
    )
}
