//! What a collector is sent, as OpenTelemetry has it: a span for each episode of a breaker, and the
//! families of [`crate::metrics`] as data points.
//!
//! Invariant: whatever the collector does, the daemon's loop never waits for it, and what is kept for
//! it is bounded.

mod attributes;
mod courier;
mod episode;
mod exporter;
mod points;
mod post;
mod recovery;
mod requests;
mod retries;

pub use self::courier::{Courier, Verdict};
pub use self::episode::{Episodes, Seen, Subject, is_own_attribute};
pub(crate) use self::exporter::random;
pub use self::exporter::{Exporter, SpanSender};
pub use self::points::{Points, points};
pub use self::recovery::panic_recovery;
pub use self::retries::Retries;
