//! Recorded series through the detector of the service, slot by slot, and how good that was.
//!
//! A [`Track`] is a folder's series of one kind. [`Run`] closes every slot of every series in order,
//! exactly as the service does, and hands each judgement to the caller; [`Alert`] is what is written
//! of one, and [`score`] holds alerts against labels. [`Fit`] counts the detector's tails over series with labels,
//! and [`Ablation`] what each part of the score is worth there.
//!
//! ```text
//! table → attacks, values → Track → Run → Alert → score → Draw → Fit, Ablation
//! ```

mod ablate;
mod alert;
mod attacks;
mod draw;
mod fit;
mod run;
pub mod score;
mod table;
mod track;
mod values;

pub use ablate::{Ablation, Without};
pub use alert::{Alert, COLUMNS, number, openings, window};
pub use attacks::{Info, Traffic};
pub use draw::{Draw, Draws};
pub use fit::{Fit, FitError, Fitted};
pub use run::{Judged, Run};
pub use track::{Layout, Rows, Series, Track};
pub use values::Values;
