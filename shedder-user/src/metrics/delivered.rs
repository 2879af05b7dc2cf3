//! What became of the spans and data points there were for a collector.
//!
//! Invariant: every one is counted at most once, and all but `queued` only grow.

/// Both signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Spans: one for each episode of a breaker.
    pub spans: Fate,
    /// Data points of metrics.
    pub points: Fate,
    /// Spans that wait to be taken.
    pub queued: u64,
}

/// Of one signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The collector has taken so many.
    pub taken: u64,
    /// Dropped, because there were too many to keep.
    pub full: u64,
    /// Dropped, because the collector refuses them for good.
    pub refused: u64,
    /// Dropped, because the collector did not take them in time.
    pub late: u64,
}
