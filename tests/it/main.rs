//! Features, seen from outside: one binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[cfg(feature = "sabotage")]
mod crash;
mod callers;
mod check;
mod registry;
mod bad_input;
mod canary;
mod commit_faults;
mod coverage;
mod directory;
mod doctor;
mod emulator;
mod gateways;
mod golden;
mod fuzz;
mod harness;
mod hostile;
mod honesty;
mod hour;
mod hub_tls;
mod hub_peers;
mod interleaving;
mod metrics_api;
mod metrics_run;
mod monitor;
mod lists;
mod prices;
mod privacy;
mod purchases;
mod purge;
mod reconnect;
mod records;
mod replay;
mod rest_server;
mod spend;
mod tidy;
mod traps;
mod trace_variants;
mod traces;
mod run;
mod retention;
mod smtp_peer;
mod webhook_tls;
mod wire;
mod world;
