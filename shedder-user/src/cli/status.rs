//! `shedder status`: one row for each breaker.

mod rollout;

use clap::Args;

use super::output::{Colour, Paint, Table, latency, span};
use super::{Failure, Reach};
use crate::api::model::{self, Breaker};

/// Show every breaker: its state, why, and what comes next.
///
/// STATE is closed (everything goes through), throttled (a share is shed, by how much goes wrong),
/// open (shed), `half_open` (only probes go through), recovering (a growing share goes through),
/// observe (the policy only watches; what it would do is in brackets), or `forced_open` and
/// `forced_closed` by `shedder trip` and `shedder hold`. CONN/S counts connects; FAIL is the failed
/// share of the outcomes in the policy's window; P50 and P99 are response times; SHED counts
/// connects refused, held or redirected and, in brackets, how many it would be if the policy acted for
/// every cgroup of the caller. Where the policy tells endpoints apart by network
/// namespace, ENDPOINT names it as `readlink /proc/PID/ns/net` does.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    reach: Reach,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    /// Only this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only this caller
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
}

impl Status {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let (service, caller) = (self.service.as_deref(), self.caller.as_deref());
        let status = self.reach.ask(async |client| client.status(service, caller).await)?;
        if self.json {
            let json = serde_json::to_string(&status).map_err(anyhow::Error::from)?;
            println!("{json}");
            return Ok(());
        }
        if status.breakers.is_empty() {
            println!("No breakers: no endpoint of the policy is known yet.");
        } else {
            print!("{}", table(&status.breakers, Paint::stdout()));
        }
        for note in rollout::notes(&status) {
            println!("note: {note}");
        }
        for note in status.breakers.iter().filter_map(datagrams) {
            println!("note: {note}");
        }
        for breaker in status.breakers.iter().filter(|breaker| breaker.ports.pressing) {
            let Breaker { caller, service, ports, .. } = breaker;
            println!("note: {caller} calling {service} at {}: {ports}", endpoint(breaker));
        }
        notes(&status.node);
        Ok(())
    }
}

fn table(breakers: &[Breaker], paint: Paint) -> String {
    let mut table = Table::new(&[
        "CALLER", "SERVICE", "ENDPOINT", "STATE", "SINCE", "CONN/S", "FAIL", "P50", "P99", "SHED",
        "NEXT", "WHY",
    ]);
    for breaker in breakers {
        let next = breaker.next.as_ref();
        table.push(vec![
            breaker.caller.clone(),
            breaker.service.clone(),
            endpoint(breaker),
            state(breaker),
            span(&breaker.since),
            format!("{:.1}", breaker.connects_per_second),
            failures(&breaker.window),
            latency(breaker.window.p50_us),
            latency(breaker.window.p99_us),
            shed(breaker),
            next.map_or_else(
                || "-".to_owned(),
                |next| format!("{} in {}", next.state, span(&next.at)),
            ),
            breaker.reason.as_ref().map_or_else(|| "-".to_owned(), |reason| reason.text.clone()),
        ]);
    }
    table.render(paint, |column, cell| (column == STATE_COLUMN).then(|| Colour::of_state(cell)))
}

fn endpoint(breaker: &Breaker) -> String {
    let Breaker { endpoint, network, .. } = breaker;
    network.as_ref().map_or_else(|| endpoint.clone(), |network| format!("{endpoint} {network}"))
}

fn state(breaker: &Breaker) -> String {
    match breaker.would_be.as_deref() {
        Some(would_be) if would_be != "closed" => format!("{} ({would_be})", breaker.state),
        _ => breaker.state.clone(),
    }
}

fn shed(breaker: &Breaker) -> String {
    if breaker.would_shed_total > breaker.shed_total {
        format!("{} (would {})", breaker.shed_total, breaker.would_shed_total)
    } else {
        breaker.shed_total.to_string()
    }
}

/// What became of datagrams, if anything did.
fn datagrams(breaker: &Breaker) -> Option<String> {
    let model::Datagrams { seen, refused, redirected, would_shed } = breaker.datagrams;
    (would_shed > 0).then(|| {
        format!(
            "{} to {} sent {seen} datagrams: {refused} were refused, {redirected} redirected; enforcing for every cgroup would have shed {would_shed}",
            breaker.caller, breaker.endpoint
        )
    })
}

fn failures(window: &model::Window) -> String {
    if window.attempts == 0 {
        return "-".to_owned();
    }
    format!("{:.0}% of {}", window.failure_share * 100.0, window.attempts)
}

/// What is wrong with the node, if anything.
fn notes(node: &model::Node) {
    let counts = [
        (node.events_lost, "kernel events were lost: the ring was full"),
        (node.events_undecodable, "kernel events could not be understood"),
        (node.untagged, "connects went through unmeasured: no memory for their socket"),
        (node.holds_over, "connects were not held: too many were already (max_held in [node])"),
        (node.actions_failed, "redirects or holds could not be applied; the connects went through"),
    ];
    for (count, text) in counts {
        if count > 0 {
            println!("note: {count} {text}");
        }
    }
    if let Some(error) = &node.reload_error {
        println!("note: the policy file is not in force as it is now: {error}");
    }
    if let Some(error) = &node.journal_error {
        println!("note: events are not written to the journal: {error}");
    }
    for degradation in &node.degradations {
        println!("note: {degradation}");
    }
    if node.cgroups.is_empty() {
        println!("note: no cgroup is guarded yet; the policy's patterns match none");
    }
}

const STATE_COLUMN: usize = 3;
