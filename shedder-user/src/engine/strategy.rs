//! Trip strategies: each looks at the evidence and says "trip, because", with its numbers.

use std::time::Duration;

use shedder_common::time::Monotonic;

use super::baseline::{Baseline, LearnRule};
use super::evidence::Sample;
use super::peers::Peers;
use super::rule::Streak;
use super::slo_drift::{DriftRule, SloDrift};
use super::window::{Span, Windows};

mod check;
mod late;
mod latency;
mod numbers;
mod outlier;
mod reason;
mod share;

pub use self::numbers::Numbers;
pub use self::reason::Reason;
pub(super) use self::reason::time;
pub(super) use self::share::{MANY_ATTEMPTS, wilson_lower_bound};

/// Which latency a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SYN sent to connection established.
    Connect,
    /// Last request byte out to first answer byte in.
    Response,
    /// The network's smoothed round-trip time.
    Rtt,
}

/// A latency a rule compares with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Always the same.
    Fixed(Duration),
    /// So many times the mean of the window.
    Mean {
        /// Above one.
        times: f64,
        /// Never less than this.
        floor: Duration,
        /// Never more than this.
        cap: Duration,
    },
    /// So many times what the breaker has learned to be usual.
    Baseline {
        /// Above one.
        times: f64,
        /// Never less than this.
        floor: Duration,
        /// Never more than this.
        cap: Duration,
        /// How it learns.
        learn: LearnRule,
    },
}

/// What endpoints of one service are compared by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// The share of failures.
    FailureShare,
    /// A quantile, in thousandths, of a latency.
    Latency(Signal, u16),
}

/// One rule that can trip a breaker.
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// So many failures in a row.
    Consecutive {
        /// At least one.
        failures: u32,
    },
    /// Too large a share of outcomes are failures.
    FailureShare {
        /// The share, in `(0, 1]`.
        at_least: f64,
        /// Whether the share must be exceeded, not only reached.
        strictly: bool,
        /// Two-sided width of the Wilson interval in standard deviations, whose lower end must
        /// reach the share: confidence instead of a minimum sample. Zero takes the plain share.
        z: f64,
        /// Outcomes needed before the rule speaks.
        min_attempts: u64,
        /// Failures needed before the rule speaks.
        min_failures: u64,
        /// How far back it looks.
        window: Span,
        /// How far back it looks once two trips are remembered.
        shrunk: Option<Span>,
    },
    /// A quantile of the latency is over a limit.
    Latency {
        /// Which latency.
        signal: Signal,
        /// The quantile in thousandths.
        quantile_permille: u16,
        /// The limit.
        over: Limit,
        /// Latencies needed before the rule speaks.
        min_samples: u64,
        /// How far back it looks.
        window: Span,
    },
    /// Too large a share of latencies is over a limit.
    SlowShare {
        /// Which latency.
        signal: Signal,
        /// What is slow.
        over: Limit,
        /// The share, in `(0, 1]`.
        at_least: f64,
        /// As for [`Strategy::FailureShare`].
        z: f64,
        /// Latencies needed before the rule speaks.
        min_samples: u64,
        /// How far back it looks.
        window: Span,
    },
    /// Too small a share of answers comes within the time that satisfies.
    Apdex {
        /// The time that satisfies.
        within: Duration,
        /// The share, in `(0, 1]`.
        at_least: f64,
        /// Latencies needed before the rule speaks.
        min_samples: u64,
        /// How far back it looks.
        window: Span,
    },
    /// A high quantile passes a threshold that follows it slowly, between bounds.
    SloDrift {
        /// How the threshold follows.
        rule: DriftRule,
        /// The quantile in thousandths.
        quantile_permille: u16,
        /// Latencies needed before the rule speaks.
        min_samples: u64,
        /// How far back it looks.
        window: Span,
    },
    /// Too large a share of segments is sent again.
    RetransmitShare {
        /// The share, in `(0, 1]`, that must be exceeded.
        over: f64,
        /// Segments needed before the rule speaks.
        min_segments: u64,
        /// How far back it looks.
        window: Span,
    },
    /// Far worse than the other endpoints of the service.
    Outlier {
        /// By what.
        measure: Measure,
        /// Distance from the median of the others, in scaled median absolute deviations.
        deviations: f64,
        /// And at least so many times the median.
        times: f64,
        /// And at least so much above it: a share, or seconds.
        floor: f64,
        /// Outcomes each endpoint needs to be compared.
        min_attempts: u64,
        /// How far back it looks.
        window: Span,
    },
    /// Failures come far more often than usual.
    Surge {
        /// So many times the usual rate; four is a rise by 300 %.
        times: f64,
        /// Failures needed before the rule speaks.
        min_failures: u64,
        /// How it learns what is usual.
        learn: LearnRule,
        /// How far back it looks.
        window: Span,
    },
    /// More connections in use than there may be.
    InFlight {
        /// The most there may be.
        over: u64,
    },
}

/// What a strategy may look at.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// What happened since the last look.
    pub(super) sample: &'a Sample,
    /// What happened lately, the sample included.
    pub(super) windows: &'a Windows,
    /// What the endpoints of the service have in common, where a rule compares with them.
    pub(super) peers: Option<&'a Peers>,
    /// When something last went well.
    pub(super) last_success: Option<Monotonic>,
    /// The age at which something unfinished counts as timed out.
    pub(super) patience: Duration,
    /// Half the evidence is enough: traffic is only just returning.
    pub(super) is_alert: bool,
    /// Nothing is shed, so that what is seen may be what is usual.
    pub(super) is_closed: bool,
    /// Trips remembered.
    pub(super) level: u32,
    pub(super) now: Monotonic,
}

impl Evidence<'_> {
    /// Whether everything is well, so that what is seen is what is usual. Only what learns asks.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_closed && self.windows.longest().counts(self.now).is_well()
    }
}

/// What one strategy or combination remembers.
#[derive(Clone, Debug)]
pub(super) enum Remembered {
    Nothing,
    Streak(Streak),
    Baseline(Baseline),
    Drift(SloDrift),
}

impl Strategy {
    /// Whether the evidence trips the breaker.
    pub(super) fn assess(
        &self,
        evidence: &Evidence<'_>,
        memory: &mut Remembered,
    ) -> Option<Reason> {
        match self {
            Self::Consecutive { failures } => share::consecutive(*failures, evidence),
            Self::FailureShare { .. } => share::failure_share(self, evidence),
            Self::Latency { .. } => latency::quantile(self, evidence, memory),
            Self::SlowShare { .. } => latency::slow_share(self, evidence, memory),
            Self::Apdex { .. } => latency::apdex(self, evidence),
            Self::SloDrift { .. } => latency::slo_drift(self, evidence, memory),
            Self::RetransmitShare { .. } => share::retransmit_share(self, evidence),
            Self::Outlier { .. } => outlier::outlier(self, evidence),
            Self::Surge { .. } => share::surge(self, evidence, memory),
            Self::InFlight { over } => {
                let in_flight = evidence.sample.unfinished.in_flight;
                (in_flight > *over).then_some(Reason::InFlight { in_flight, limit: *over })
            }
        }
    }

    /// How far back the strategy looks.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        let (window, shrunk) = match self {
            Self::Consecutive { .. } | Self::InFlight { .. } => (None, None),
            Self::FailureShare { window, shrunk, .. } => (Some(*window), *shrunk),
            Self::Latency { window, .. }
            | Self::SlowShare { window, .. }
            | Self::Apdex { window, .. }
            | Self::SloDrift { window, .. }
            | Self::RetransmitShare { window, .. }
            | Self::Outlier { window, .. }
            | Self::Surge { window, .. } => (Some(*window), None),
        };
        [window, shrunk].into_iter().flatten()
    }

    /// The latency it looks at.
    pub const fn signal(&self) -> Option<Signal> {
        match self {
            Self::Latency { signal, .. }
            | Self::SlowShare { signal, .. }
            | Self::Outlier { measure: Measure::Latency(signal, _), .. } => Some(*signal),
            Self::Apdex { .. } | Self::SloDrift { .. } => Some(Signal::Response),
            Self::Consecutive { .. }
            | Self::FailureShare { .. }
            | Self::RetransmitShare { .. }
            | Self::Outlier { .. }
            | Self::Surge { .. }
            | Self::InFlight { .. } => None,
        }
    }

    pub(super) const fn failure_run_limit(&self) -> Option<u32> {
        if let Self::Consecutive { failures } = self { Some(*failures) } else { None }
    }

    /// How long calls that go well may wait until they are looked at, failures and slow answers being told: no longer
    /// than a call may take, and an eighth of the window, in which they are so much too late. Zero where each look
    /// counts.
    pub(super) fn patience(&self) -> Duration {
        let windows = self.spans().filter_map(|span| match span {
            Span::Time(time) => Some(time / 8),
            Span::Count(_) => None,
        });
        windows.fold(self.longest_call(), Duration::min)
    }

    fn longest_call(&self) -> Duration {
        match self {
            Self::Consecutive { .. }
            | Self::FailureShare { .. }
            | Self::Outlier { measure: Measure::FailureShare, .. } => Duration::MAX,
            Self::Latency { signal, over: Limit::Fixed(over), .. }
            | Self::SlowShare { signal, over: Limit::Fixed(over), .. }
                if !matches!(signal, Signal::Rtt) =>
            {
                *over
            }
            Self::Apdex { within, .. } => *within,
            Self::Latency { .. }
            | Self::SlowShare { .. }
            | Self::SloDrift { .. }
            | Self::RetransmitShare { .. }
            | Self::Outlier { .. }
            | Self::Surge { .. }
            | Self::InFlight { .. } => Duration::ZERO,
        }
    }

    /// The response time that is slow by this strategy whatever else happens.
    pub(super) const fn slow_after(&self) -> Option<Duration> {
        match self {
            Self::Latency { signal: Signal::Response, over: Limit::Fixed(over), .. }
            | Self::SlowShare { signal: Signal::Response, over: Limit::Fixed(over), .. } => {
                Some(*over)
            }
            Self::Consecutive { .. }
            | Self::FailureShare { .. }
            | Self::Latency { .. }
            | Self::SlowShare { .. }
            | Self::Apdex { .. }
            | Self::SloDrift { .. }
            | Self::RetransmitShare { .. }
            | Self::Outlier { .. }
            | Self::Surge { .. }
            | Self::InFlight { .. } => None,
        }
    }
}

impl Signal {
    /// The name in policy files and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Response => "response",
            Self::Rtt => "rtt",
        }
    }
}

impl Remembered {
    /// The learned value, begun where there is none.
    fn baseline(&mut self, now: Monotonic) -> &mut Baseline {
        if !matches!(self, Self::Baseline(_)) {
            *self = Self::Baseline(Baseline::new(now));
        }
        let Self::Baseline(baseline) = self else { unreachable!("it was made one above") };
        baseline
    }

    fn drift(&mut self) -> &mut SloDrift {
        if !matches!(self, Self::Drift(_)) {
            *self = Self::Drift(SloDrift::default());
        }
        let Self::Drift(drift) = self else { unreachable!("it was made one above") };
        drift
    }
}
