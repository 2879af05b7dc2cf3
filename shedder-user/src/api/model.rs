//! What goes over the control socket. These shapes are a contract: fields are added, never renamed
//! or removed.

use std::fmt;

use serde::{Deserialize, Serialize};

mod by;
mod counted;
mod event;
mod explanation;
mod glance;
mod latencies;
mod reloaded;
mod sketch;

pub use self::by::By;
pub use self::counted::{Datagrams, InFlight, Outcomes, Ports, Traffic};
pub use self::event::{Event, EventKind};
pub use self::explanation::{Explained, Explanation, Refusal};
pub use self::glance::{Glance, Glimpsed};
pub use self::latencies::{Bucket, Histogram, Histograms};
pub use self::reloaded::{Fates, Reload, Reloaded};
pub use self::sketch::{Refused, Sketch};

/// Answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// One entry for each caller and endpoint, ordered by service, caller, endpoint.
    pub breakers: Vec<Breaker>,
    /// The daemon.
    pub node: Node,
}

/// One breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// Who calls.
    pub caller: String,
    /// What is called.
    pub service: String,
    /// The policy that decides.
    pub policy: String,
    /// Address and port.
    pub endpoint: String,
    /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<String>,
    /// `observe`, `closed`, `throttled`, `open`, `half_open`, `recovering`, `forced_open` or `forced_closed`.
    pub state: String,
    /// In observe mode: the state it would be in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub would_be: Option<String>,
    /// RFC 3339.
    pub since: String,
    /// Why it is not closed.
    pub reason: Option<Reason>,
    /// Recent evidence.
    pub window: Window,
    /// How connections ended since the endpoint is known.
    #[serde(default)]
    pub outcomes: Outcomes,
    /// What has begun and not ended.
    #[serde(default)]
    pub in_flight: InFlight,
    /// What connections have carried since the endpoint is known.
    #[serde(default)]
    pub traffic: Traffic,
    /// Local ports its connections take.
    #[serde(default)]
    pub ports: Ports,
    /// The share of the caller's cgroups its verdicts act for, in percent; zero observes. For the others
    /// they only count.
    #[serde(default)]
    pub enforce_percent: u8,
    /// What the kernel does now.
    pub verdict: Verdict,
    /// Connects refused, held or redirected since the endpoint is known.
    pub shed_total: u64,
    /// Those of them shed by the kernel on a burst of failures, before the daemon knew of it.
    #[serde(default)]
    pub burst_shed_total: u64,
    /// Connects let through.
    pub allowed_total: u64,
    /// Connects that enforcing for every cgroup would have shed, whatever the mode: those shed, and those
    /// let through because the policy observes or does not act for their cgroup.
    pub would_shed_total: u64,
    /// What became of datagrams, where the service says `udp`; nothing above counts them.
    #[serde(default)]
    pub datagrams: Datagrams,
    /// Established connections ended because it was open.
    #[serde(default)]
    pub destroyed: u64,
    /// Connects a second, over the last second or so.
    pub connects_per_second: f64,
    /// Trips remembered; the open time grows with each.
    pub level: u32,
    /// Whether it changes back and forth, so that it stays open for longer.
    #[serde(default)]
    pub flapping: bool,
    /// Whether its policy refused too much wrongly and only observes until it is reset.
    #[serde(default)]
    pub suspended: bool,
    /// What time alone will bring.
    pub next: Option<Next>,
}

/// Why a breaker is not closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The strategy, or what else it was.
    pub strategy: String,
    /// A sentence with the numbers.
    pub text: String,
    /// For a trip: what was compared with what.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub numbers: Option<Numbers>,
}

/// What a strategy compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// What was seen.
    pub value: f64,
    /// What it was compared with.
    pub limit: f64,
    /// Of both: `failures`, `share`, `seconds`, `per_second` or `connections`.
    pub unit: String,
    /// From how many outcomes, latencies, segments or endpoints.
    pub samples: u64,
    /// The window looked at, if it is one of time.
    pub window_ms: Option<u64>,
}

/// Evidence of a breaker's window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Outcomes that say something about the endpoint.
    pub attempts: u64,
    /// Those that failed.
    pub failures: u64,
    /// Their share, 0 to 1; zero without attempts.
    pub failure_share: f64,
    /// Median response time, microseconds.
    pub p50_us: Option<u64>,
    /// 99th percentile, microseconds.
    pub p99_us: Option<u64>,
}

/// What the kernel does with connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `allow`, `deny`, `delay` or `redirect`.
    pub action: String,
    /// When it stops counting unless renewed; nothing for `allow`.
    pub expires_in_ms: Option<u64>,
    /// While it allows: failures in a row from which on connects are shed at once, before the daemon
    /// has decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sheds_after_failures: Option<u32>,
    /// The error of `deny`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub errno: Option<String>,
    /// The hold of `delay`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delay_ms: Option<u16>,
    /// The target of `redirect`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redirect_to: Option<String>,
    /// Share let through nevertheless, in thousandths.
    pub admit_permille: u16,
    /// Counted only, not acted on.
    pub observe: bool,
}

/// What time alone will bring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// The next state.
    pub state: String,
    /// RFC 3339.
    pub at: String,
}

/// The daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Of shedder.
    pub version: String,
    /// Of the daemon.
    pub pid: u32,
    /// Where metrics and health are served, if they are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listen: Option<String>,
    /// RFC 3339.
    pub started: String,
    /// Of the configuration in force: one, and one more for each reload that changed anything.
    #[serde(default)]
    pub generation: u32,
    /// Since when it is in force, RFC 3339.
    #[serde(default)]
    pub loaded: String,
    /// Why the policy file as it is now is not in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reload_error: Option<String>,
    /// Why events are not written to the journal in `state_dir` now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub journal_error: Option<String>,
    /// How often evidence is looked at.
    pub tick_ms: u64,
    /// How long verdicts outlive the daemon.
    pub verdict_ttl_ms: u64,
    /// Guarded cgroups.
    pub cgroups: Vec<Cgroup>,
    /// Endpoints in use.
    pub endpoints: u32,
    /// Endpoints there can be.
    pub max_endpoints: u32,
    /// Kernel events the ring had no room for.
    pub events_lost: u64,
    /// Kernel events that could not be understood.
    pub events_undecodable: u64,
    /// Connects let through unmeasured for want of memory.
    pub untagged: u64,
    /// Connects whose mark was kept with the socket, since its usual place was taken by one connected long ago.
    /// They are measured like others, at a higher price.
    #[serde(default)]
    pub stored_tags: u64,
    /// Connections of whose end nobody told the programs, found to be gone by the daemon.
    #[serde(default)]
    pub untold_ends: u64,
    /// Redirects and holds that could not be applied; the connects went through.
    pub actions_failed: u64,
    /// Connects held now.
    #[serde(default)]
    pub held: u64,
    /// Connects that went through at once because too many were held (`max_held`).
    #[serde(default)]
    pub holds_over: u64,
    /// What this kernel lacks, in words.
    pub degradations: Vec<String>,
}

/// A guarded cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Its path in the hierarchy.
    pub path: String,
    /// The caller it belongs to.
    pub caller: String,
    /// The hundredth of all cgroups it belongs to, from 0: a policy with `enforce_percent` acts for
    /// those below.
    #[serde(default)]
    pub cohort: u16,
}

/// Body of `POST /v1/override`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// What to do.
    pub order: Order,
    /// Address and port.
    pub endpoint: String,
    /// Only for this caller; for all callers otherwise.
    pub caller: Option<String>,
    /// Only in this network namespace; in all otherwise.
    #[serde(default)]
    pub network: Option<String>,
    /// How long `trip` and `hold` last, in milliseconds.
    pub for_ms: Option<u64>,
}

/// An operator's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Shed, whatever the evidence says.
    Trip,
    /// Let through, whatever the evidence says.
    Hold,
    /// Drop override and memory.
    Reset,
}

impl Order {
    /// What was done, in words.
    pub const fn done(self) -> &'static str {
        match self {
            Self::Trip => "tripped",
            Self::Hold => "held closed",
            Self::Reset => "reset",
        }
    }
}

/// Answer to `POST /v1/override`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// The breakers it reached.
    pub breakers: Vec<BreakerName>,
}

/// Which breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerName {
    /// Who calls.
    pub caller: String,
    /// What is called.
    pub service: String,
    /// Address and port.
    pub endpoint: String,
    /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub network: Option<String>,
}

impl fmt::Display for BreakerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, service, endpoint, network } = self;
        write!(f, "{caller} calling {service} at {endpoint}")?;
        network.as_ref().map_or(Ok(()), |network| write!(f, " in {network}"))
    }
}

/// Body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What is wrong and what to do.
    pub error: String,
}
