//! Watches what Azure AI endpoints bill: reads diagnostic logs from event hubs, counts every call
//! once, learns what is usual for each deployment and tells people when somebody else is spending.
//!
//! The modules in the order of the data path; each imports from those above it only:
//!
//! - [`event`], [`time`], [`money`], [`failpoint`]: the words everything else is written in;
//! - [`decode`]: from the bytes of a hub event to rows;
//! - [`price`]: what tokens cost;
//! - [`aggregate`]: rows meet in calls, calls in sums;
//! - [`incident`], [`detect`]: what is unusual, and its life;
//! - [`engine`]: the pure whole, a batch in and effects out;
//! - [`source`], [`store`], [`notify`], [`simulate`], [`emulator`]: the edges, which do not know
//!   each other;
//! - [`telemetry`]: the program's own log;
//! - [`pipeline`]: the one file that knows every stage;
//! - [`cli`]: the commands.

pub mod event;
pub mod time;
pub mod money;
pub mod failpoint;
pub mod decode;
pub mod price;
pub mod aggregate;
pub mod detect;
pub mod incident;
pub mod engine;
pub mod source;
pub mod store;
pub mod notify;
pub mod simulate;
pub mod emulator;
pub mod telemetry;
pub mod pipeline;
pub mod cli;
