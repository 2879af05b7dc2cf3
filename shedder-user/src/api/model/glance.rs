//! What somebody who looks on is shown each second. The contract of [`super`] holds here too.

use serde::{Deserialize, Serialize};

use super::{Breaker, Node};

/// The node at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Glance {
    /// RFC 3339.
    pub at: String,
    /// Ordered as in the status. Where there are too many, those that are not closed come first.
    pub breakers: Vec<Glimpsed>,
    /// Breakers left out.
    pub others: usize,
    /// The daemon.
    pub node: Node,
}

/// A breaker, and how long answers took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Glimpsed {
    /// As in the status.
    #[serde(flatten)]
    pub breaker: Breaker,
    /// From the last byte of a request to the first of its answer: the number of a step and how many
    /// answers took so long since the breaker is known. Only steps with answers. Two steps make an octave:
    /// step `n` begins at 8 µs times the `n / 2 - 1`th power of two, the odd ones half as much later;
    /// 0 and 1 halve what is below 8 µs.
    pub latencies: Vec<(u8, u64)>,
}
