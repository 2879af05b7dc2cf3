//! What `why` says: one paragraph for who it is about, one for each endpoint that is shed to it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use shedder_common::caller::is_reached;
use shedder_common::errno::Errno;

use super::super::explain;
use super::super::output::span;
use super::Answer;
use super::process::Process;
use crate::api::model::{Breaker, Cgroup, Explained, Refusal, Status};
use crate::printable::printable;

/// The endpoints of which connects are shed to some caller.
pub(super) fn shed_endpoints(status: &Status) -> BTreeSet<String> {
    let shed = status.breakers.iter().filter(|breaker| is_shed(breaker));
    shed.map(|breaker| breaker.endpoint.clone()).collect()
}

/// About one process, or those of one name.
pub(super) fn about_processes(answer: &Answer, processes: &[Process]) -> String {
    // Those to whom the same is shed are one case; a policy may act for some cgroups only.
    let mut cases: BTreeMap<(&str, Vec<usize>), Vec<&Process>> = BTreeMap::new();
    let mut unguarded = Vec::new();
    for process in processes {
        match guarding(&answer.status, process) {
            Some(cgroup) => {
                let case = (cgroup.caller.as_str(), shed_to(answer, cgroup));
                cases.entry(case).or_default().push(process);
            }
            None => unguarded.push(process),
        }
    }
    let mut text = String::new();
    for ((caller, shed), processes) in &cases {
        let guarded = format!("{}, guarded as caller {caller}.", whereabouts(processes));
        say(&mut text, &guarded);
        text.push_str(&about_caller(answer, caller, shed));
    }
    if !unguarded.is_empty() {
        say(&mut text, &format!("{}, which no policy guards:", whereabouts(&unguarded)));
        say(&mut text, "shedder leaves its connects alone, so what fails there fails by itself.");
        text.push_str(&guarded(&answer.status));
    }
    text.push_str(&lately(&answer.refusals));
    text
}

/// About one endpoint, for whoever calls it.
pub(super) fn about_endpoint(answer: &Answer) -> String {
    let mut text = String::new();
    for explained in &answer.explained {
        let breaker = &explained.breaker;
        if is_shed(breaker) {
            let who = format!("{}, calling {}", breaker.caller, title(breaker));
            text.push_str(&paragraph(&answer.status, explained, &who));
        } else {
            let Breaker { caller, state, .. } = breaker;
            let line = format!("{caller} reaches {}: {}.", title(breaker), explained.effect);
            say(&mut text, &line);
            say(&mut text, &format!("  Its breaker is {state}{}.", would_be(breaker)));
        }
    }
    text.push_str(&lately(&answer.refusals));
    text
}

/// Which of what was explained is shed to the processes of a cgroup.
fn shed_to(answer: &Answer, cgroup: &Cgroup) -> Vec<usize> {
    let is_shed = |breaker: &Breaker| {
        breaker.caller == cgroup.caller
            && sheds(breaker)
            && is_reached(cgroup.cohort, breaker.enforce_percent)
    };
    let explained = answer.explained.iter().enumerate();
    explained.filter(|(_, it)| is_shed(&it.breaker)).map(|(index, _)| index).collect()
}

fn about_caller(answer: &Answer, caller: &str, shed: &[usize]) -> String {
    let mut text = String::new();
    let of_caller = |breaker: &&Breaker| breaker.caller == caller;
    let breakers: Vec<&Breaker> = answer.status.breakers.iter().filter(of_caller).collect();
    let shed: Vec<&Explained> =
        shed.iter().filter_map(|index| answer.explained.get(*index)).collect();
    let count = endpoints(breakers.len());
    if breakers.is_empty() {
        say(&mut text, "No endpoint its policies name was called yet, so nothing is shed.");
    } else if shed.is_empty() {
        say(
            &mut text,
            &format!("Nothing is shed: of the {count} it may call, each connect goes through."),
        );
        say(&mut text, "What fails for it fails by itself; `shedder status` shows how much does.");
    } else {
        let services: BTreeSet<&str> = breakers.iter().map(|it| it.service.as_str()).collect();
        let services: Vec<&str> = services.into_iter().collect();
        let services = services.join(", ");
        say(&mut text, &format!("Of {count} of {services} it may call, {} shed:", are(shed.len())));
    }
    let would = breakers.iter().filter(|breaker| sheds(breaker)).count();
    // The two were asked one after the other.
    let would = would.saturating_sub(shed.len());
    if would > 0 {
        say(&mut text, &format!("{} would be, if the policy acted for it.", endpoints(would)));
    }
    for explained in shed {
        text.push('\n');
        text.push_str(&paragraph(&answer.status, explained, &title(&explained.breaker)));
    }
    text
}

/// Why, what is seen, until when, and what to do, each on a line of its own.
fn paragraph(status: &Status, explained: &Explained, head: &str) -> String {
    let Explained { breaker, effect, until, remedy, .. } = explained;
    let mut text = format!("{head}: {} for {}\n", breaker.state, span(&breaker.since));
    let mut line = |head: &str, what: &str| {
        writeln!(text, "  {head:<9} {what}").expect("to a string");
    };
    if let Some(reason) = &breaker.reason {
        line("why", &format!("{} ({}; policy {})", reason.text, reason.strategy, breaker.policy));
    }
    line("it sees", &format!("{effect}{}", meaning(breaker)));
    if let Some(until) = until {
        line("until", until);
    }
    line("instead", &siblings(status, breaker));
    line("to end it", remedy);
    text
}

/// What the system's library says of the error a refused connect returns.
fn meaning(breaker: &Breaker) -> String {
    let errno = breaker.verdict.errno.as_deref().filter(|_| breaker.verdict.action == "deny");
    errno.and_then(Errno::from_name).map_or_else(String::new, |errno| {
        let said = io::Error::from_raw_os_error(i32::from(errno as u8)).to_string();
        let said = said.split(" (os error").next().unwrap_or_default().to_lowercase();
        format!(" (\"{said}\")")
    })
}

/// What else of the service the same caller can reach.
fn siblings(status: &Status, breaker: &Breaker) -> String {
    let Breaker { caller, service, network, .. } = breaker;
    let others = status.breakers.iter().filter(|other| {
        (&other.caller, &other.service, &other.network) == (caller, service, network)
            && other.endpoint != breaker.endpoint
            && !is_shed(other)
    });
    let others: Vec<&str> = others.map(|other| other.endpoint.as_str()).take(SHOWN).collect();
    if others.is_empty() {
        format!("nothing else of {service} is open to it: let the application wait and try again")
    } else {
        format!(
            "connects to {} of {service} go through: let it try the next address",
            others.join(", ")
        )
    }
}

/// Where processes are, as the beginning of a sentence.
fn whereabouts(processes: &[&Process]) -> String {
    let cgroups: BTreeSet<&str> = processes.iter().map(|it| it.cgroup.as_str()).collect();
    let cgroups = printable(&listed(cgroups.into_iter())).into_owned();
    if let [process] = processes {
        return format!("{} (pid {}) is in {cgroups}", printable(&process.name), process.pid);
    }
    let pids: Vec<String> = processes.iter().map(|it| it.pid.to_string()).collect();
    let pids = listed(pids.iter().map(String::as_str));
    let name = printable(processes.first().map_or("", |process| process.name.as_str()));
    format!("{} processes called {name} (pids {pids}) are in {cgroups}", processes.len())
}

/// The guarded cgroup a process is in, or below.
fn guarding<'a>(status: &'a Status, process: &Process) -> Option<&'a Cgroup> {
    let inside = |path: &str| Path::new(&process.cgroup).starts_with(path);
    status.node.cgroups.iter().find(|cgroup| inside(&cgroup.path))
}

fn guarded(status: &Status) -> String {
    let cgroups = status.node.cgroups.iter().map(|it| format!("{} ({})", it.path, it.caller));
    let cgroups: Vec<String> = cgroups.collect();
    if cgroups.is_empty() {
        return "No cgroup is guarded now.\n".to_owned();
    }
    format!("Guarded are: {}.\n", printable(&listed(cgroups.iter().map(String::as_str))))
}

fn lately(refusals: &[Refusal]) -> String {
    if refusals.is_empty() {
        return "\nNo refusal was told of lately.\n".to_owned();
    }
    let lines = refusals.iter().take(SHOWN).map(explain::line);
    format!("\nRefused lately:\n{}", lines.collect::<String>())
}

/// As many as people read, and how many more there are.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.get(..SHOWN).unwrap_or(&names).join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn title(breaker: &Breaker) -> String {
    let network = breaker.network.as_ref().map_or_else(String::new, |it| format!(" in {it}"));
    format!("{} at {}{network}", breaker.service, breaker.endpoint)
}

fn would_be(breaker: &Breaker) -> String {
    let would_be = breaker.would_be.as_ref();
    would_be.map_or_else(String::new, |state| format!(", and enforcing it would be {state}"))
}

/// Whether connects of anybody are shed.
fn is_shed(breaker: &Breaker) -> bool {
    sheds(breaker) && breaker.enforce_percent > 0
}

/// Whether its verdict sheds, for whomever it acts.
fn sheds(breaker: &Breaker) -> bool {
    breaker.verdict.action != "allow"
}

fn endpoints(count: usize) -> String {
    if count == 1 { "1 endpoint".to_owned() } else { format!("{count} endpoints") }
}

fn are(count: usize) -> String {
    if count == 1 { "1 is".to_owned() } else { format!("{count} are") }
}

fn say(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("to a string");
}

/// Of a long list, so many.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests;
