//! What the kernel saw of one breaker between two looks.

use std::ops::{AddAssign, SubAssign};

/// Latency samples as sparse histogram buckets: bucket number and count, in rising order.
pub type Buckets = Vec<(u8, u32)>;

/// What happened since the last sample of the same breaker, and what is still going on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// What was counted.
    pub counts: Counts,
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
    /// Half-open probes that say nothing, because their callers ended them early.
    pub probes_void: u64,
    /// Connect latencies.
    pub connect: Buckets,
    /// Response latencies.
    pub response: Buckets,
    /// Smoothed round-trip times.
    pub rtt: Buckets,
    /// What has begun and not ended, at this moment.
    pub unfinished: Unfinished,
}

/// Counts of one breaker over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connects asked for, shed ones included.
    pub connects: u64,
    /// Connects refused, held or sent elsewhere by the verdict. Never evidence of a failure.
    pub shed: u64,
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
    /// Outcome: an answer that says that the endpoint failed.
    pub errored: u64,
    /// Segments sent.
    pub segments: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

/// Attempts and requests without a result, by how long they have waited so far. Their latency will
/// be at least that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Handshakes: bucket of the age, and how many.
    pub connecting: Buckets,
    /// Requests: bucket of the age, and how many.
    pub waiting: Buckets,
    /// Handshakes whose retransmission timer has run out twice, whatever their age.
    pub stalled_connecting: u64,
    /// Requests nothing was heard of while the retransmission timer ran out twice.
    pub stalled_waiting: u64,
    /// Connections in use, whatever their age.
    pub in_flight: u64,
}

impl Sample {
    /// Whether it holds anything a breaker would want to know.
    pub fn is_empty(&self) -> bool {
        *self == Self { failure_run: self.failure_run, ..Self::default() }
    }
}

impl Counts {
    /// Outcomes that count against the endpoint.
    pub const fn failures(&self) -> u64 {
        self.refused
            .saturating_add(self.timed_out)
            .saturating_add(self.unreachable)
            .saturating_add(self.reset)
            .saturating_add(self.errored)
    }

    /// Outcomes that say something about the endpoint.
    pub const fn attempts(&self) -> u64 {
        self.successes.saturating_add(self.failures())
    }

    /// Whether fewer than a tenth of the outcomes are failures.
    pub(super) fn is_well(&self) -> bool {
        self.failures().saturating_mul(10) < self.attempts().max(1)
    }

    /// Whether a count has reached its greatest value and may have been cut.
    pub(super) const fn is_saturated(&self) -> bool {
        self.connects == u64::MAX
            || self.shed == u64::MAX
            || self.successes == u64::MAX
            || self.refused == u64::MAX
            || self.timed_out == u64::MAX
            || self.unreachable == u64::MAX
            || self.reset == u64::MAX
            || self.errored == u64::MAX
            || self.segments == u64::MAX
            || self.retransmits == u64::MAX
    }

    /// Both with `join`, field by field.
    const fn zip(&self, other: &Self, join: Join) -> Self {
        Self {
            connects: join.of(self.connects, other.connects),
            shed: join.of(self.shed, other.shed),
            successes: join.of(self.successes, other.successes),
            refused: join.of(self.refused, other.refused),
            timed_out: join.of(self.timed_out, other.timed_out),
            unreachable: join.of(self.unreachable, other.unreachable),
            reset: join.of(self.reset, other.reset),
            errored: join.of(self.errored, other.errored),
            segments: join.of(self.segments, other.segments),
            retransmits: join.of(self.retransmits, other.retransmits),
        }
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        *self = self.zip(other, Join::Add);
    }
}

impl SubAssign<&Self> for Counts {
    fn sub_assign(&mut self, other: &Self) {
        *self = self.zip(other, Join::Subtract);
    }
}

/// Saturating, because no count may bring the daemon down.
#[derive(Clone, Copy)]
enum Join {
    Add,
    Subtract,
}

impl Join {
    const fn of(self, left: u64, right: u64) -> u64 {
        match self {
            Self::Add => left.saturating_add(right),
            Self::Subtract => left.saturating_sub(right),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_well_while_less_than_a_tenth_fails() {
        let is_well =
            |successes, refused| Counts { successes, refused, ..Counts::default() }.is_well();
        assert!(is_well(10, 1));
        assert!(!is_well(9, 1));
        assert!(is_well(0, 0));
    }

    #[test]
    fn each_count_may_be_saturated() {
        let counts: [fn(&mut Counts) -> &mut u64; 10] = [
            |counts| &mut counts.connects,
            |counts| &mut counts.shed,
            |counts| &mut counts.successes,
            |counts| &mut counts.refused,
            |counts| &mut counts.timed_out,
            |counts| &mut counts.unreachable,
            |counts| &mut counts.reset,
            |counts| &mut counts.errored,
            |counts| &mut counts.segments,
            |counts| &mut counts.retransmits,
        ];
        for count in counts {
            let mut one = Counts::default();
            *count(&mut one) = u64::MAX - 1;
            assert!(!one.is_saturated(), "{one:?}");
            *count(&mut one) = u64::MAX;
            assert!(one.is_saturated(), "{one:?}");
        }
    }

    /// A run that stands as it stood is no news.
    #[test]
    fn a_sample_without_news_is_empty() {
        assert!(Sample { failure_run: 9, ..Sample::default() }.is_empty());
        let counts = Counts { shed: 1, ..Counts::default() };
        assert!(!Sample { counts, ..Sample::default() }.is_empty());
    }
}
