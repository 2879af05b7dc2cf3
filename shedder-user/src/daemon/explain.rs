//! Why a connect was refused: by which rule, on which numbers, until when, and what would let it
//! through.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use shedder_common::endpoint::{FAMILY_IPV4, PROTOCOL_UDP};
use shedder_common::errno::Errno;
use shedder_common::event::{REFUSED_BURST, REFUSED_HALF_OPEN, REFUSED_SHARE, RefusalRecord};

use super::cells::Cell;
use super::refusals::Refusal;
use super::{Daemon, report};
use crate::api::model::{self, BreakerName, Explained, Explanation};
use crate::clock;
use crate::config::Binding;
use crate::engine::{Admission, CellId, Policy, State, View};

impl Daemon {
    /// About one endpoint, whoever calls it.
    pub(super) fn explain_endpoint(&self, endpoint: &str) -> Result<Explanation, String> {
        let endpoint = report::endpoint(endpoint)?;
        let cells: Vec<&Cell> =
            self.cells.iter().filter(|cell| cell.endpoint == endpoint).collect();
        if cells.is_empty() {
            return Err(format!(
                "{endpoint} has no breaker, so shedder lets every connect to it through; `shedder status` lists those there are"
            ));
        }
        let refusals = self.refusals.newest(|refusal| {
            self.cell_of(&refusal.record).is_some_and(|cell| cell.endpoint == endpoint)
        });
        Ok(Explanation {
            breakers: cells.into_iter().filter_map(|cell| self.explained(cell)).collect(),
            refusals: refusals.take(SHOWN).filter_map(|refusal| self.refusal(refusal)).collect(),
        })
    }

    /// About what was refused to one process.
    pub(super) fn explain_process(&self, pid: u32) -> Explanation {
        let told = || self.refusals.newest(|refusal| refusal.record.pid == pid);
        let mut cells: Vec<CellId> =
            told().filter_map(|refusal| Some(self.cell_of(&refusal.record)?.id)).collect();
        cells.sort_unstable();
        cells.dedup();
        let cells = cells.into_iter().filter_map(|id| self.cells.by_id(id));
        Explanation {
            breakers: cells.filter_map(|cell| self.explained(cell)).collect(),
            refusals: told().take(SHOWN).filter_map(|refusal| self.refusal(refusal)).collect(),
        }
    }

    /// Keeps a refusal for later, with what is known now.
    pub(super) fn note_refusal(&mut self, record: RefusalRecord) {
        let Some(view) =
            self.cell_of(&record).and_then(|cell| self.engine.view(cell.id, clock::now()))
        else {
            return;
        };
        let reason = view.cause.as_ref().map(report::reason);
        self.refusals.push(Refusal { record, state: view.state.name(), reason });
    }

    fn cell_of(&self, record: &RefusalRecord) -> Option<&Cell> {
        self.cells.by_slot(record.slot)
    }

    fn explained(&self, cell: &Cell) -> Option<Explained> {
        let now = clock::now();
        let breaker = report::breaker(self, cell, now)?;
        let view = self.engine.view(cell.id, now)?;
        let endpoint = &breaker.endpoint;
        Some(Explained {
            effect: self.effect(cell, &breaker, &view),
            until: view.next.map(|next| {
                let wait = humantime::format_duration(rounded(next.at.since(now)));
                format!("in {wait} it becomes {}{}", next.state, outlook(next.state, &view.policy))
            }),
            remedy: remedy(view.state, endpoint),
            generation: view.policy.generation,
            rules: self.rules_of(cell),
            breaker,
        })
    }

    /// What becomes of connects now, and of whose.
    fn effect(&self, cell: &Cell, breaker: &model::Breaker, view: &View) -> String {
        let effect = effect(breaker, view);
        let percent = view.enforce_percent;
        if breaker.verdict.action == "allow" || !(1..100).contains(&percent) {
            return effect;
        }
        let (acted_for, of) = self.guard.reached(cell.caller, percent);
        format!(
            "for {acted_for} of the caller's {of} cgroups, by enforce_percent = {percent}, {effect}; for the others every connect goes through"
        )
    }

    /// The lines of the policy a cell is decided by; none once the file has no such policy.
    fn rules_of(&self, cell: &Cell) -> Vec<String> {
        let is_its = |it: &&Binding| (it.caller, it.service) == (cell.caller, cell.service);
        let mut bindings = self.config.bindings.iter();
        bindings.find(is_its).map_or_else(Vec::new, |binding| binding.rules.clone())
    }

    fn refusal(&self, refusal: &Refusal) -> Option<model::Refusal> {
        let cell = self.cell_of(&refusal.record)?;
        Some(refused(refusal, report::name(&self.config, cell)))
    }
}

/// What a record of the kernel says, whatever is in it.
pub(super) fn refused(refusal: &Refusal, name: BreakerName) -> model::Refusal {
    let record = &refusal.record;
    let BreakerName { caller, service, endpoint, network } = name;
    let comm = record.comm.split(|byte| *byte == 0).next().unwrap_or_default();
    model::Refusal {
        at: report::time(shedder_common::time::Monotonic::from_nanos(record.at_ns)),
        pid: record.pid,
        comm: String::from_utf8_lossy(comm).into_owned(),
        uid: record.uid,
        cgroup: cgroup_of(record.pid),
        cgroup_id: record.cgroup,
        source: source(record).map(|source| source.to_string()),
        caller,
        service,
        endpoint,
        network,
        transport: if record.key.protocol == PROTOCOL_UDP { "udp" } else { "tcp" }.to_owned(),
        errno: Errno::ALL
            .into_iter()
            .find(|errno| *errno as u8 == record.errno)
            .map_or_else(|| record.errno.to_string(), |errno| errno.name().to_owned()),
        cause: cause(record.why).to_owned(),
        state: refusal.state.to_owned(),
        reason: refusal.reason.clone(),
        refused: record.refused,
    }
}

/// What becomes of connects now, where the verdict acts.
fn effect(breaker: &model::Breaker, view: &View) -> String {
    let verdict = &breaker.verdict;
    let shed = match verdict.action.as_str() {
        "deny" => {
            let errno = verdict.errno.as_deref().unwrap_or("an error");
            format!("connect() fails at once with {errno}")
        }
        "delay" => format!("connects are held for {} ms", verdict.delay_ms.unwrap_or(0)),
        "redirect" => {
            let target = verdict.redirect_to.as_deref().unwrap_or("another endpoint");
            format!("connects go to {target} instead")
        }
        _ => {
            return verdict.sheds_after_failures.map_or_else(
                || "every connect goes through".to_owned(),
                |limit| format!("every connect goes through, until {limit} fail in a row"),
            );
        }
    };
    let admitted = match (view.state, view.would_be) {
        (State::HalfOpen, _) | (State::Observe, State::HalfOpen) => {
            "; only probes go through".to_owned()
        }
        _ if verdict.admit_permille > 0 => {
            format!("; {:.0} % of them go through", f64::from(verdict.admit_permille) / 10.0)
        }
        _ => String::new(),
    };
    if verdict.observe {
        format!(
            "every connect goes through, because the policy only observes; enforcing, {shed}{admitted}"
        )
    } else {
        format!("{shed}{admitted}")
    }
}

/// What the next state will mean.
fn outlook(state: State, policy: &Policy) -> String {
    match (state, policy.half_open.admission) {
        (State::HalfOpen, Admission::Tokens(tokens)) => format!(
            ": then {tokens} connects are let through as probes, and {} of them must succeed",
            policy.half_open.successes
        ),
        (State::HalfOpen, Admission::Everyone) => {
            ": then connects go through, and the first outcomes decide".to_owned()
        }
        (State::Closed, _) => ": then every connect goes through".to_owned(),
        _ => String::new(),
    }
}

/// As exact as a person wants it: to seconds, or below one to tenths.
fn rounded(wait: Duration) -> Duration {
    let step = if wait < Duration::from_secs(1) { 100 } else { 1000 };
    Duration::from_millis(report::millis(wait).div_ceil(step) * step)
}

/// What would let a connect through.
fn remedy(state: State, endpoint: &str) -> String {
    match state {
        State::Observe | State::Closed | State::ForcedClosed => "nothing is in the way".to_owned(),
        State::ForcedOpen => {
            format!("an operator ordered it; `shedder reset {endpoint}` ends that")
        }
        State::Throttled | State::Open | State::HalfOpen | State::Recovering => format!(
            "it closes by itself when the endpoint answers well; `shedder hold {endpoint}` lets everything through for a while, `shedder reset {endpoint}` forgets what was seen"
        ),
    }
}

const fn cause(why: u8) -> &'static str {
    match why {
        REFUSED_BURST => "burst",
        REFUSED_HALF_OPEN => "no_token",
        REFUSED_SHARE => "not_its_turn",
        _ => "open",
    }
}

/// Where the process is now; nothing when it has ended.
fn cgroup_of(pid: u32) -> Option<String> {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    lines.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

fn source(record: &RefusalRecord) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(record.source_port);
    let address: IpAddr = if record.key.family == FAMILY_IPV4 {
        let [a, b, c, d, ..] = record.source;
        Ipv4Addr::new(a, b, c, d).into()
    } else {
        Ipv6Addr::from(record.source).into()
    };
    (port != 0 || !address.is_unspecified()).then(|| SocketAddr::new(address, port))
}

/// Refusals an answer holds.
const SHOWN: usize = 10;
