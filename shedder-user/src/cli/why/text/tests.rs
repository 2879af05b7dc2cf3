//! What is said about whom, word for word where it matters.

use serde_json::{Value, json};

use super::*;

fn breaker(caller: &str, endpoint: &str, verdict: &Value) -> Breaker {
    let state = if verdict["action"] == "allow" { "closed" } else { "open" };
    let breaker = json!({
        "caller": caller, "service": "db", "policy": format!("{caller}:db"), "endpoint": endpoint,
        "state": state, "since": "2026-01-01T00:00:00Z",
        "reason": {"strategy": "consecutive", "text": "3 failures in a row (limit 3)"},
        "window": {"attempts": 0, "failures": 0, "failure_share": 0.0},
        "verdict": verdict, "shed_total": 0, "allowed_total": 0, "would_shed_total": 0,
        "connects_per_second": 0.0, "level": 0,
        "enforce_percent": if verdict["observe"] == true { 0 } else { 100 },
    });
    serde_json::from_value(breaker).expect("a breaker")
}

fn allowed(caller: &str, endpoint: &str) -> Breaker {
    breaker(caller, endpoint, &json!({"action": "allow", "admit_permille": 0, "observe": false}))
}

fn denied(caller: &str, endpoint: &str, observe: bool) -> Breaker {
    let verdict = json!({
        "action": "deny", "errno": "ECONNREFUSED", "admit_permille": 0, "observe": observe,
    });
    breaker(caller, endpoint, &verdict)
}

/// What a daemon with these breakers would answer; `web` is guarded in `/web`.
fn answer(breakers: Vec<Breaker>) -> Answer {
    let explained = breakers.iter().map(|breaker| Explained {
        breaker: breaker.clone(),
        effect: "connect() fails at once with ECONNREFUSED".to_owned(),
        until: Some("in 3s it becomes half_open".to_owned()),
        remedy: "it closes by itself".to_owned(),
        generation: 1,
        rules: Vec::new(),
    });
    let explained = explained.collect();
    let node = json!({
        "version": "1", "pid": 1, "started": "", "tick_ms": 1, "verdict_ttl_ms": 1,
        "cgroups": [
            {"path": "/web", "caller": "web", "cohort": 3},
            {"path": "/other", "caller": "web", "cohort": 7},
        ], "endpoints": 1, "max_endpoints": 1,
        "events_lost": 0, "events_undecodable": 0, "untagged": 0, "actions_failed": 0,
        "degradations": [],
    });
    let node = serde_json::from_value(node).expect("a node");
    Answer { status: Status { breakers, node }, explained, refusals: Vec::new() }
}

fn process(pid: u32, cgroup: &str) -> Process {
    Process { pid, name: "nginx".to_owned(), cgroup: cgroup.to_owned() }
}

#[test]
fn a_process_hears_what_is_shed_to_its_caller_and_what_to_do() {
    let answer = answer(vec![
        denied("web", "10.0.0.1:1", false),
        allowed("web", "10.0.0.2:1"),
        denied("api", "10.0.0.3:1", false),
    ]);
    let text = about_processes(&answer, &[process(7, "/web/worker")]);
    let (_, text_without_age) = text.split_once("open for").expect("it is open");
    assert!(
        text.starts_with("nginx (pid 7) is in /web/worker, guarded as caller web.\nOf 2 endpoints of db it may call, 1 is shed:\n\ndb at 10.0.0.1:1: open for"),
        "{text}"
    );
    assert_eq!(
        text_without_age.split_once('\n').expect("more").1,
        "  why       3 failures in a row (limit 3) (consecutive; policy web:db)\n  \
           it sees   connect() fails at once with ECONNREFUSED (\"connection refused\")\n  \
           until     in 3s it becomes half_open\n  \
           instead   connects to 10.0.0.2:1 of db go through: let it try the next address\n  \
           to end it it closes by itself\n\nNo refusal was told of lately.\n"
    );
}

#[test]
fn nothing_shed_and_nobody_guarded_are_said() {
    let answer = answer(vec![allowed("web", "10.0.0.1:1"), denied("web", "10.0.0.2:1", true)]);
    let text = about_processes(&answer, &[process(7, "/web"), process(8, "/webmail")]);
    for part in [
        "Nothing is shed: of the 2 endpoints it may call, each connect goes through.\n",
        "1 endpoint would be, if the policy acted for it.\n",
        "nginx (pid 8) is in /webmail, which no policy guards:\n",
        "Guarded are: /web (web), /other (web).\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let text = about_processes(&self::answer(Vec::new()), &[process(7, "/web")]);
    assert!(text.contains("No endpoint its policies name was called yet"), "{text}");
}

/// A policy with `enforce_percent` acts for some cgroups of a caller only.
#[test]
fn who_is_not_acted_for_hears_that_nothing_is_shed() {
    let mut breaker = denied("web", "10.0.0.1:1", false);
    breaker.enforce_percent = 5;
    let text = about_processes(&answer(vec![breaker]), &[process(7, "/web"), process(8, "/other")]);
    let (free, shed) = text.split_once("nginx (pid 7) is in /web").expect("it is told apart");
    assert!(free.starts_with("nginx (pid 8) is in /other"), "{text}");
    assert!(free.contains("1 endpoint would be, if the policy acted for it."), "{text}");
    assert!(shed.contains("Of 1 endpoint of db it may call, 1 is shed:"), "{text}");
}

#[test]
fn many_processes_are_one_sentence() {
    let processes: Vec<Process> = (1..=9).map(|pid| process(pid, "/web")).collect();
    let text = about_processes(&answer(vec![allowed("web", "10.0.0.1:1")]), &processes);
    let expected = "9 processes called nginx (pids 1, 2, 3, 4, 5 and 4 more) are in /web, guarded as caller web.\n";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn an_endpoint_is_told_for_each_that_calls_it() {
    let answer = answer(vec![denied("api", "10.0.0.1:1", false), allowed("web", "10.0.0.1:1")]);
    let text = about_endpoint(&answer);
    assert!(text.starts_with("api, calling db at 10.0.0.1:1: open for "), "{text}");
    assert!(text.contains("nothing else of db is open to it"), "{text}");
    assert!(text.contains("web reaches db at 10.0.0.1:1: "), "{text}");
}
