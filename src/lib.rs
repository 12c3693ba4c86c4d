//! tokenwatch reads what Azure Monitor exports about AI endpoints and says within a minute of a
//! record reaching the hub when somebody else is spending the money.
//!
//! This page is the map. [`pipeline`] is the data path in code; everything below is named there.
//!
//! ```text
//! source → decode → aggregate → detect → incident → store → notify
//!          └──────────── pure: engine ──────────┘   └── edges ──┘
//! ```
//!
//! A [batch](event::Batch) of events enters one pure step, [`Engine::apply`](engine::Engine::apply).
//! Everything to save and to tell comes back as data, [`Effects`](engine::effects::Effects). One
//! transaction, [`Store::commit`](store::Store::commit), saves positions, rollups, open calls,
//! detector state, incidents and outbox together or not at all.
//!
//! # Modules, along the path of a record
//!
//! | module | what it is for |
//! |---|---|
//! | [`source`] | where batches come from: event hubs, metrics asked for by REST, or files of what was once delivered; and [what there is](source::resource_graph), asked once or [again and again](source::resource_graph::poll); and the way [into a hub](source::event_hubs::send), for drills |
//! | [`decode`] | from bytes to typed [events](event::Event); a kind of record is one entry of [`DECODERS`](decode::DECODERS) |
//! | [`known`] | whose a network is, where, and on which lists; names of object ids |
//! | [`price`] | what tokens cost, or that nobody knows |
//! | [`aggregate`] | rows become calls, once each; calls become sums per minute, deployment, caller |
//! | [`detect`] | sums against the past; a detector is one entry of [`DETECTORS`](detect::DETECTORS) or, about [what callers do](detect::conduct), of [`RULES`](detect::conduct::RULES), and its words are in the [table](detect::table) of all |
//! | [`incident`] | findings of one cause become one incident, with evidence, money and a life |
//! | [`rules`] | what was done to accounts and to what guards them, told by logs or by [two readings of the inventory](rules::inventory); a rule is one entry of [`RULES`](rules::RULES), and findings that mean more together one of [`CHAINS`](rules::chain::CHAINS) |
//! | [`route`] | who hears of an incident, when and in which company; silences |
//! | [`engine`] | the pure whole: [`Account`](engine::account::Account) is the shard, [`Estate`](engine::estate::Estate) what spans accounts |
//! | [`store`] | one SQLite file, one writer; the only truth about positions |
//! | [`notify`] | renders once, signs, sends, retries; a channel is one file here and one line of [`CHANNELS`](config::CHANNELS) |
//! | [`pipeline`] | joins source, engine, store and notifications; the only reader of the clock |
//!
//! Around the path:
//!
//! | module | what it is for |
//! |---|---|
//! | [`event`], [`time`], [`money`], [`severity`] | the words all others use: rows, batches, event and arrival time, nano-USD |
//! | [`action`] | what people do about incidents and silences, and [ask the automation](engine::respond) to do, with author and answer |
//! | [`posture`] | how well accounts are locked: an inventory, and eight doors judged on each |
//! | [`days`] | local days, weeks and months as ranges of the UTC hours that sums are kept by |
//! | [`problem`] | what is wrong with a file that a person wrote: where, and how to mend it |
//! | [`azure`] | who we are to Entra ID, and a modest and patient client of Azure's REST APIs |
//! | [`failpoint`] | named places where crash tests stop the process; empty in a release |
//! | [`simulate`] | Azure's records with exact truth, and labelled [series](simulate::series): test oracle and load |
//! | [`backtest`] | recorded series through the detector: how good its alerts were, how rare scores are, what each part is worth |
//! | [`files`] | reads what [`known`] is made of, again when it changes, and keeps the last good copy |
//! | [`report`] | the weekly spend report: rows gathered, blocks computed, rendered for people and programs |
//! | [`emulator`] | an event hub on loopback that Microsoft's clients accept, and that misbehaves on request |
//! | [`config`] | one TOML file, checked as a whole before anything starts |
//! | [`demo`] | the whole job on this machine: emulator, simulated fleet, service, alert, verdict |
//! | [`drill`] | plays of attacks and of their look-alikes through engine and store: does the alarm work? |
//! | [`telemetry`] | the program's own log |
//! | [`cli`] | commands, output and exit codes |
//!
//! # Layers
//!
//! A module imports leftwards only; the edges do not know each other. A test holds them to it.
//!
//! ```text
//! event, time, days, money, severity, action, problem, failpoint ← decode ← known, price ← aggregate ← detect ← incident
//!   ← rules, route, posture ← engine ← azure ← source, store, notify, files, simulate, backtest, emulator ← report, telemetry, config, pipeline, demo, drill, cli
//! ```
//!
//! # What always holds
//!
//! - **Exactly once in effect.** A transaction begins by comparing every position with the stored
//!   one, so a batch read again after a crash changes nothing, and a second process ends itself
//!   ([`StoreError::Fenced`](store::StoreError::Fenced)).
//! - **Notifications at least once, with a deterministic key.** The outbox row is saved with its
//!   incident; every attempt sends the same bytes under the same
//!   [key](notify::idempotency_key), by which receivers drop repetitions.
//! - **Nothing is lost silently.** What cannot be read is in quarantine, what cannot be counted in a
//!   ledger, what the hub no longer has is a [gap](engine::effects::Gap) and an incident.
//! - **Unknown is never zero.** A token count, price or identity that is absent is `None` and shown
//!   as unknown.
//! - **No prompt is kept.** Decoding takes counts, names, network and status from a record, and
//!   [`redact`](decode::redact) leaves only the shape of what could not be read.
//! - **The core is pure.** Between `decode` and `engine` there is no clock, no I/O, no task and no
//!   randomness; the same batches in the same order give the same effects, and however they are cut,
//!   the same state.
//! - **Everything a caller controls has a bound**, and a counter for when it is hit.

pub mod event;
pub mod time;
pub mod days;
pub mod money;
pub mod severity;
pub mod action;
pub mod problem;
pub mod failpoint;
pub mod decode;
pub mod known;
pub mod price;
pub mod aggregate;
pub mod detect;
pub mod incident;
pub mod rules;
pub mod route;
pub mod posture;
pub mod engine;
pub mod azure;
pub mod source;
pub mod store;
pub mod notify;
pub mod files;
pub mod simulate;
pub mod backtest;
pub mod emulator;
pub mod report;
pub mod config;
pub mod telemetry;
pub mod pipeline;
pub mod demo;
pub mod drill;
pub mod cli;

/// Holds the Rust example of the emulator's page to the compiler.
#[cfg(doctest)]
#[doc = include_str!("../docs/emulator.md")]
struct EmulatorPage;
