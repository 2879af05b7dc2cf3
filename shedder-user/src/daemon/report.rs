//! From the engine's and the kernel's words to those of the control socket.

use std::net::SocketAddr;
use std::time::Duration;

use humantime::format_rfc3339_millis;
use shedder_common::counters::SlotCounters;
use shedder_common::errno::Errno;
use shedder_common::in_flight::InFlightRow;
use shedder_common::time::Monotonic;
use shedder_common::verdict::{Action, Verdict as Row, VerdictWord};

use super::Daemon;
use super::cells::{Cell, Cells};
use crate::api::model::{
    Breaker, BreakerName, Cgroup, Datagrams, InFlight, Next, Node, Numbers, Outcomes, Ports,
    Reason, Status, Traffic, Verdict, Window,
};
use crate::clock;
use crate::config::Config;
use crate::engine::{self, Cause, Mode, Span, Summary, View};

pub(super) fn status(daemon: &Daemon) -> Status {
    let now = clock::now();
    let mut breakers: Vec<Breaker> =
        daemon.cells.iter().filter_map(|cell| breaker(daemon, cell, now)).collect();
    breakers.sort_by_cached_key(order);
    Status { breakers, node: node(daemon) }
}

/// By service, caller, endpoint.
pub(super) fn order(it: &Breaker) -> (String, String, String, Option<String>) {
    (it.service.clone(), it.caller.clone(), it.endpoint.clone(), it.network.clone())
}

pub(super) fn breaker(daemon: &Daemon, cell: &Cell, now: Monotonic) -> Option<Breaker> {
    let view: View = daemon.engine.view(cell.id, now)?;
    let counters = daemon.kernel.counters(cell.slot);
    let BreakerName { caller, service, endpoint, network } = name(&daemon.config, cell);
    let is_observing = view.policy.mode == Mode::Observe;
    Some(Breaker {
        caller,
        service,
        policy: view.policy.name.clone(),
        endpoint,
        network,
        state: view.state.name().to_owned(),
        would_be: is_observing.then(|| view.would_be.name().to_owned()),
        since: time(view.since),
        reason: view.cause.as_ref().map(reason),
        window: window(&view.window),
        outcomes: outcomes(&counters),
        in_flight: in_flight(&counters, &daemon.kernel.in_flight(cell.slot)),
        traffic: traffic(&counters),
        ports: ports(cell),
        enforce_percent: view.enforce_percent,
        verdict: verdict(cell.published.as_ref(), &daemon.cells, daemon.verdicts_until.since(now)),
        shed_total: counters.shed(),
        burst_shed_total: counters.burst_shed,
        allowed_total: counters.allowed,
        would_shed_total: counters.would_shed(),
        datagrams: datagrams(&counters),
        destroyed: daemon.endings.destroyed(cell.id),
        connects_per_second: cell.rate.per_second,
        level: view.level,
        flapping: view.is_flapping,
        suspended: view.is_suspended,
        next: view.next.map(next),
    })
}

pub(super) fn node(daemon: &Daemon) -> Node {
    let counters = daemon.kernel.node_counters();
    let (endpoints, max_endpoints) = daemon.kernel.slot_usage();
    Node {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        listen: daemon.listen.map(|address| address.to_string()),
        started: time(daemon.started),
        generation: daemon.standing.generation,
        loaded: time(daemon.standing.since),
        reload_error: daemon.standing.error.clone(),
        journal_error: daemon.journal.trouble().map(str::to_owned),
        tick_ms: millis(daemon.config.node.tick),
        verdict_ttl_ms: millis(daemon.config.node.verdict_ttl),
        cgroups: daemon
            .guard
            .iter()
            .map(|(path, caller, cohort)| Cgroup {
                path: path.to_owned(),
                cohort,
                caller: daemon.config.callers[caller].name.clone(),
            })
            .collect(),
        endpoints,
        max_endpoints,
        events_lost: counters.events_lost,
        events_undecodable: daemon.undecodable,
        untagged: counters.untagged,
        stored_tags: counters.stored_tags,
        untold_ends: daemon.untold.ended(),
        actions_failed: counters.redirects_failed + counters.holds_failed,
        held: counters.held,
        holds_over: counters.holds_over,
        degradations: daemon
            .kernel
            .features()
            .degradations()
            .iter()
            .map(ToString::to_string)
            .collect(),
    }
}

pub(super) fn name(config: &Config, cell: &Cell) -> BreakerName {
    BreakerName {
        caller: config.callers[cell.caller].name.clone(),
        service: config.services[cell.service].name.clone(),
        endpoint: cell.endpoint.to_string(),
        network: cell.network.clone(),
    }
}

pub(super) fn next(next: engine::Next) -> Next {
    Next { state: next.state.name().to_owned(), at: time(next.at) }
}

pub(super) fn window(summary: &Summary) -> Window {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let share =
        if summary.attempts == 0 { 0.0 } else { summary.failures as f64 / summary.attempts as f64 };
    Window {
        attempts: summary.attempts,
        failures: summary.failures,
        failure_share: share,
        p50_us: summary.p50_us,
        p99_us: summary.p99_us,
    }
}

const fn outcomes(counters: &SlotCounters) -> Outcomes {
    Outcomes {
        answered: counters.responses,
        idle_closed: counters.idle_closes,
        refused: counters.refused,
        timed_out: counters.timed_out,
        unreachable: counters.unreachable,
        reset: counters.reset,
        hung_up: counters.hung_up,
        errored: counters.errored,
        gave_up: counters.gave_up,
        abandoned: counters.abandoned,
        stale: counters.stale,
        syn_retransmits: counters.syn_retransmits,
    }
}

pub(super) fn in_flight(counters: &SlotCounters, row: &InFlightRow) -> InFlight {
    InFlight {
        connecting: row.connecting(),
        waiting: row.waiting(),
        stalled: u64::from(row.stalled_connecting) + u64::from(row.stalled_waiting),
        connections: counters.established.saturating_sub(counters.ended),
    }
}

const fn traffic(counters: &SlotCounters) -> Traffic {
    Traffic {
        connections: counters.established,
        requests: counters.requests,
        bytes_out: counters.bytes_out,
        bytes_in: counters.bytes_in,
        segments: counters.segments,
        retransmits: counters.retransmits,
    }
}

const fn datagrams(counters: &SlotCounters) -> Datagrams {
    Datagrams {
        seen: counters.datagrams,
        refused: counters.datagrams_denied,
        redirected: counters.datagrams_redirected,
        would_shed: counters.datagrams_would_shed(),
    }
}

pub(super) const fn ports(cell: &Cell) -> Ports {
    let taken = &cell.ports;
    Ports {
        taken: taken.all(),
        in_use: taken.in_use,
        closed: taken.closed,
        available: taken.available,
        pressing: taken.is_pressing(),
    }
}

pub(super) fn reason(cause: &Cause) -> Reason {
    let numbers = cause.reason().and_then(engine::Reason::numbers);
    Reason {
        strategy: cause.name().to_owned(),
        text: cause.to_string(),
        numbers: numbers.map(|numbers| Numbers {
            value: numbers.value,
            limit: numbers.limit,
            unit: numbers.unit.to_owned(),
            samples: numbers.samples,
            window_ms: numbers.window.and_then(|window| match window {
                Span::Time(span) => u64::try_from(span.as_millis()).ok(),
                Span::Count(_) => None,
            }),
        }),
    }
}

fn verdict(published: Option<&Row>, cells: &Cells, expires_in: Duration) -> Verdict {
    let word = published.and_then(|row| VerdictWord::unpack(row.word));
    let word = word.unwrap_or_else(|| VerdictWord::allow(0));
    let burst_limit = published.map(|row| row.burst_limit).filter(|_| word.on_burst);
    let (action, errno, delay_ms, target): (_, Option<Errno>, _, _) = match word.action {
        // Nothing is shed yet.
        _ if word.on_burst => ("allow", None, None, None),
        Action::Allow => ("allow", None, None, None),
        Action::Deny(errno) => ("deny", Some(errno), None, None),
        Action::Delay(milliseconds) => ("delay", None, Some(milliseconds), None),
        Action::Redirect(slot) => ("redirect", None, None, Some(slot)),
    };
    let target = target.and_then(|slot| cells.by_id(engine::CellId(u32::from(slot))));
    Verdict {
        action: action.to_owned(),
        expires_in_ms: (action != "allow").then_some(millis(expires_in)),
        sheds_after_failures: burst_limit,
        errno: errno.map(|errno| errno.name().to_owned()),
        delay_ms,
        redirect_to: target.map(|cell| cell.endpoint.to_string()),
        admit_permille: word.admit_permille,
        observe: word.action != Action::Allow && word.enforce_percent == 0,
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The endpoint a person names, as the cells know it: a mapped address is the IPv4 endpoint it means.
pub(super) fn endpoint(text: &str) -> Result<SocketAddr, String> {
    let endpoint: SocketAddr = text.parse().map_err(|_not_an_address| {
        format!("{text:?} is no endpoint; write address:port, as `shedder status` shows it")
    })?;
    Ok(SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port()))
}

pub(super) fn time(at: Monotonic) -> String {
    format_rfc3339_millis(clock::wall(at)).to_string()
}
