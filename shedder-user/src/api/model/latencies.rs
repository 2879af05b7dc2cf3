//! Answer to `GET /v1/histogram`: how long handshakes and answers took. The contract of [`super`] holds here too.

use serde::{Deserialize, Serialize};

use super::BreakerName;

/// Latencies since the breakers are known, added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histograms {
    /// The breakers they were measured for.
    pub breakers: Vec<BreakerName>,
    /// From the SYN to the established connection.
    pub connect: Histogram,
    /// From the last byte of a request to the first byte of its answer.
    pub response: Histogram,
    /// Round trips, as TCP smooths them; nothing where no policy asks for them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub round_trip: Option<Histogram>,
}

/// Latencies of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many there are.
    pub samples: u64,
    /// The median, microseconds.
    pub p50_us: Option<u64>,
    /// 99th percentile, microseconds.
    pub p99_us: Option<u64>,
    /// Those with samples, fastest first.
    pub buckets: Vec<Bucket>,
}

/// A range of latencies, at most an eighth of its lower bound wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The shortest latency in it, microseconds.
    pub from_us: u64,
    /// The shortest one above it, microseconds. Slower ones than the last bucket holds are in it too.
    pub below_us: u64,
    /// Latencies in it.
    pub count: u64,
}
