//! A validated policy: after `Policy::try_new` nothing is checked again.

use std::time::Duration;

use shedder_common::errno::Errno;

use super::rule::{Response, Rule, TripRule};
use super::strategy::{Signal, Strategy};

mod best_case;
mod check;

pub use self::best_case::BestCase;
pub use self::check::InvalidPolicy;
pub(super) use self::check::{duration, range};

/// Whether verdicts act or are only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count what enforcing would have shed.
    Observe,
    /// Shed.
    Enforce,
}

/// What happens to a connect that is shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedAction {
    /// `connect()` fails at once with this error.
    Deny(Errno),
    /// The SYN is held this many milliseconds.
    Delay(u16),
    /// The connect goes to a healthy sibling; where there is none it is denied with this error.
    Redirect(Errno),
}

/// What becomes of the connections there are when a breaker opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Established {
    /// They stay.
    Keep,
    /// Those on which nothing is under way are ended.
    Drain,
    /// All are ended.
    Reset,
}

/// How long a trip lasts.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenRule {
    /// After the first trip.
    pub base: Duration,
    /// After any number of trips.
    pub max: Duration,
    /// How it grows with the trips remembered.
    pub growth: Growth,
    /// The share of it, in thousandths, that chance may take away.
    pub jitter_permille: u16,
}

/// How open time grows with the trips a breaker remembers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Growth {
    /// `base`, `base` times the factor, `base` times its square, …
    Exponential(f64),
    /// `base`, `2 base`, `3 base`, …
    Linear,
    /// Always `base`.
    Constant,
}

/// How an open breaker finds out whether the endpoint is back.
#[derive(Clone, Debug, PartialEq)]
pub struct HalfOpenRule {
    /// Who is let through.
    pub admission: Admission,
    /// Probes that must end well: in all, and in a row where a failed one starts the count afresh.
    pub successes: u32,
    /// What a probe that ends badly does.
    pub on_failure: OnFailure,
    /// Grants the tokens anew this often while half-open, like a heartbeat.
    pub refill: Option<Duration>,
    /// What the probes as a whole must show besides.
    pub gate: Option<CloseGate>,
    /// How long the probes may take, from the first one admitted.
    pub deadline: Duration,
}

/// Who is let through while half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// So many connects, at least one, counted on the whole node.
    Tokens(u32),
    /// Everyone: the next outcome decides.
    Everyone,
    /// Nobody: when the open time has passed the breaker closes without a probe.
    Skip,
}

/// What a failed probe does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Reopens as soon as too few probes are left to succeed.
    Reopen,
    /// Starts the count of successes afresh.
    Restart,
}

/// What all probes together must show before the breaker may close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseGate {
    /// The share of them, in thousandths, that must end well.
    pub success_permille: u16,
    /// A quantile of their response times, in thousandths.
    pub quantile_permille: u16,
    /// What it may be at most.
    pub at_most: Duration,
}

/// How traffic returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RampRule {
    /// Time from `start_permille` to everything; zero closes at once.
    pub duration: Duration,
    /// Share admitted at the start, in thousandths, at least one.
    pub start_permille: u16,
    /// A failure share, in thousandths, above which the share stops growing.
    pub freeze_permille: u16,
    /// A failure share, in thousandths, above which the breaker reopens.
    pub reopen_permille: u16,
}

/// How a share is shed where opening would be too much.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleRule {
    /// Connects let through for each that went well, above one: the K of client-side throttling
    /// (Site Reliability Engineering, chapter 21).
    pub multiplier: f64,
    /// How far back it looks.
    pub window: Duration,
    /// The greatest share shed, in thousandths, below 1000: what remains are the probes.
    pub max_shed_permille: u16,
    /// How long everything must have gone well before the breaker closes.
    pub calm: Duration,
}

/// What a breaker may do to the group it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetyRule {
    /// The greatest share of a service's endpoints with traffic that may be open for one caller,
    /// in percent, after the action.
    pub max_open_percent: u8,
    /// What becomes of the only endpoint of a service.
    pub lone: Lone,
    /// The share of a service's endpoints, in percent, over which failing ones are let through
    /// again, because shedding protects nobody any more; nothing never lets through.
    pub panic_percent: Option<u8>,
    /// Whether callers of one endpoint decide together.
    pub scope: ScopeRule,
    /// The share of a caller's connects, in thousandths over ten minutes, that may be refused
    /// wrongly by its policy's own estimate before it stops enforcing; nothing never stops.
    pub false_refusals_permille: Option<u16>,
}

/// What becomes of the only endpoint of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lone {
    /// It is throttled: somebody always gets through.
    Throttle,
    /// It is opened like any other.
    Open,
}

/// Whether callers of one endpoint decide together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeRule {
    /// Two callers that see an endpoint fail open it for those that have not seen enough.
    Endpoint,
    /// Each caller decides for itself.
    Cell,
}

/// Everything that decides about one breaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// As people know it.
    pub name: String,
    /// Counts the reloads of the file it came from.
    pub generation: u32,
    /// Whether verdicts act.
    pub mode: Mode,
    /// Where they act: for which share of the caller's cgroups, in percent, from 1 to 100. For the
    /// others they only count.
    pub enforce_percent: u8,
    /// Any of these acts on the breaker.
    pub trip: Vec<TripRule>,
    /// What happens to connects while it is open.
    pub shed: ShedAction,
    /// How much longer a hold may be, by chance, in milliseconds, so that connects held together do not
    /// leave together.
    pub delay_jitter_ms: u16,
    /// What becomes of the connections there are.
    pub established: Established,
    /// How long it stays open.
    pub open: OpenRule,
    /// How it probes.
    pub half_open: HalfOpenRule,
    /// How it recovers.
    pub ramp: RampRule,
    /// How it sheds a share.
    pub throttle: ThrottleRule,
    /// What it may do to its group.
    pub safety: SafetyRule,
    /// An attempt or turn the caller gives up after at least this long counts as timed out.
    pub caller_timeout: Duration,
    /// Turns at the start of each connection left unmeasured.
    pub turns_to_skip: u8,
    /// Whether requests and their answers are looked at. Without, a connection that is made went well,
    /// and nothing is known of what becomes of it.
    pub answers: bool,
}

impl Policy {
    /// The fewest consecutive failures a rule wants to hear of at once; nothing when none counts
    /// them.
    pub fn failure_run_limit(&self) -> Option<u32> {
        self.least(&Strategy::failure_run_limit)
    }

    /// The fewest consecutive failures that open by themselves, whatever else there is; nothing when no
    /// number of them does.
    pub fn burst_limit(&self) -> Option<u32> {
        let opens = self.trip.iter().filter(|trip| trip.response == Response::Open);
        opens
            .filter_map(|trip| match &trip.rule {
                Rule::One(strategy) => strategy.failure_run_limit(),
                Rule::Any(_) | Rule::All(_) | Rule::Lasting { .. } => None,
            })
            .min()
    }

    /// The response time over which a probe fails; nothing when no rule limits it.
    pub fn slow_after(&self) -> Option<Duration> {
        self.least(&Strategy::slow_after)
    }

    /// How long calls that go well may wait until they are looked at, failures and slow answers being told; zero where
    /// each look counts.
    pub fn patience(&self) -> Duration {
        let rules = self.trip.iter().map(|trip| trip.rule.patience());
        rules.fold(self.caller_timeout, Duration::min)
    }

    /// Whether a rule looks at round-trip times.
    pub fn needs_round_trips(&self) -> bool {
        self.strategies().any(|strategy| strategy.signal() == Some(Signal::Rtt))
    }

    /// Whether it is the same but for when it was read.
    pub fn has_rules_of(&self, other: &Self) -> bool {
        *self == Self { generation: self.generation, ..other.clone() }
    }

    fn least<T: Ord>(&self, of: &impl Fn(&Strategy) -> Option<T>) -> Option<T> {
        self.trip.iter().filter_map(|trip| trip.rule.least(of)).min()
    }
}
