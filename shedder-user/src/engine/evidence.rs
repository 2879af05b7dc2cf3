//! What the kernel saw of one breaker between two looks.

/// Latency samples as sparse histogram buckets: bucket number and count, in rising order.
pub type Buckets = Vec<(u8, u32)>;

/// Differences since the last sample of the same breaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Outcomes: answers, and connections closed in good order without a request.
    pub successes: u64,
    /// Outcome: refused by reset.
    pub refused: u64,
    /// Outcome: no answer in time.
    pub timed_out: u64,
    /// Outcome: host or network unreachable.
    pub unreachable: u64,
    /// Outcome: reset or closed where an answer was due.
    pub reset: u64,
    /// Times the failure run reached its limit.
    pub failure_bursts: u64,
    /// Failures since the last success, at this moment.
    pub failure_run: u64,
    /// Half-open probes admitted.
    pub probes: u64,
    /// Half-open probes that ended well.
    pub probe_successes: u64,
    /// Half-open probes that ended badly.
    pub probe_failures: u64,
    /// Connect latencies.
    pub connect: Buckets,
    /// Response latencies.
    pub response: Buckets,
}

impl Sample {
    /// Outcomes that count against the endpoint.
    pub fn failures(&self) -> u64 {
        self.refused + self.timed_out + self.unreachable + self.reset
    }

    /// Whether it holds anything a breaker would want to know.
    pub fn is_empty(&self) -> bool {
        *self == Self { failure_run: self.failure_run, ..Self::default() }
    }
}
