//! Only the programs a policy needs are attached, and what they leave out is left out of the evidence.

use shedder_tests::attached::{Hook, programs};
use shedder_tests::backend::Behaviour;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;

use crate::scene::{
    PATIENCE, WATCH, assert_all_answered, backend, caller, failures, policy, wait_until,
};

const CONNECTS: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "10m", max = "10m" }
answers = false
"#;

fn attached(cgroup: &Cgroup) -> Vec<Hook> {
    let hooks = [
        Hook::Ingress,
        Hook::Egress,
        Hook::SockOps,
        Hook::Connect4,
        Hook::Connect6,
        Hook::PeerName4,
        Hook::PeerName6,
        Hook::SendMsg4,
        Hook::SendMsg6,
        Hook::ReceiveMsg4,
        Hook::ReceiveMsg6,
    ];
    let is_attached = |hook: &Hook| programs(cgroup, *hook).expect("root may ask") > 0;
    hooks.into_iter().filter(is_attached).collect()
}

#[test]
fn only_what_a_policy_needs_is_attached() {
    let cgroup = Cgroup::new("needs").expect("a cgroup");
    let endpoint = "127.0.0.1:9".parse().expect("an address");
    let started = |text: &str| {
        let daemon = Daemon::start(text).expect("it starts");
        let attached = attached(&cgroup);
        drop(daemon);
        attached
    };
    let with = |rules: &str| started(&policy(&cgroup, &[endpoint], rules));
    let always = [Hook::SockOps, Hook::Connect4, Hook::Connect6];
    let packets = [Hook::Ingress, Hook::Egress];
    let names = [Hook::PeerName4, Hook::PeerName6];
    assert_eq!(with(CONNECTS), always);
    assert_eq!(with(WATCH), [&packets[..], &always[..]].concat());
    let holds = format!("{CONNECTS}open = {{ action = \"delay\", delay = \"20ms\" }}")
        .replace("open = { base = \"10m\", max = \"10m\" }\n", "");
    assert_eq!(with(&holds), [&packets[..], &always[..]].concat());
    let redirects = format!("{WATCH}open = {{ action = \"redirect\" }}");
    assert_eq!(with(&redirects), [&packets[..], &always[..], &names[..]].concat());
    let with_udp = |rules: &str| {
        let text = policy(&cgroup, &[endpoint], rules);
        started(&text.replacen("name = \"db\"\n", "name = \"db\"\nudp = true\n", 1))
    };
    let sends = [Hook::SendMsg4, Hook::SendMsg6];
    let receives = [Hook::ReceiveMsg4, Hook::ReceiveMsg6];
    assert_eq!(with_udp(CONNECTS), [&always[..], &sends[..]].concat());
    assert_eq!(
        with_udp(&redirects),
        [&packets[..], &always[..], &names[..], &sends[..], &receives[..]].concat()
    );
    assert_eq!(attached(&cgroup), [], "nothing stays");
}

/// Where only connects are measured a connection that is made is a success, whatever becomes of it.
#[test]
fn a_policy_without_answers_judges_connects_alone() {
    let (mut caller, cgroup) = caller("connects");
    let backend = backend(Behaviour::ResetAfterAccept);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], CONNECTS)).expect("it starts");
    let events = daemon.events().expect("it answers");
    for call in caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives") {
        assert!(!call.answered(), "the backend resets");
    }
    assert_eq!(failures(&daemon, backend.addr(), 5), 0);
    backend.set(Behaviour::Healthy).expect("it lives");
    assert_all_answered(&caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives"));
    assert_eq!(failures(&daemon, backend.addr(), 10), 0);
    backend.set(Behaviour::Refuse).expect("it lives");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("a refusal counts");
}

/// A probe is a success as soon as its connection is made, and nothing is measured of requests even
/// where another policy of the same caller looks at packets.
#[test]
fn connects_alone_are_enough_to_close() {
    let (mut caller, cgroup) = caller("probe-connects");
    let (backend, other) = (backend(Behaviour::Refuse), backend(Behaviour::Healthy));
    let rules = CONNECTS.replace("\"10m\"", "\"200ms\"")
        + "half_open = { tokens = 1, successes = 1 }\nrecovery = { ramp = \"0s\" }\n";
    let path = cgroup.name();
    let text = policy(&cgroup, &[backend.addr()], &rules)
        + &format!(
            "[[service]]\nname = \"other\"\nendpoints = [\"{}\"]\n[[policy]]\ncaller = \"app\"\nservice = \"other\"\n",
            other.addr()
        );
    let daemon = Daemon::start(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let events = daemon.events().expect("it answers");
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    backend.set(Behaviour::Hang).expect("it lives");
    events.wait_for_state(backend.addr(), "half_open").expect("it probes");
    caller.open(backend.addr(), PATIENCE).expect("the token is its own");
    events.wait_for_state(backend.addr(), "closed").expect("it connects, so it closes");
    let breaker = wait_until(&daemon, backend.addr(), |breaker| breaker.in_flight.connections == 1);
    assert_eq!((breaker.traffic.requests, breaker.in_flight.waiting), (0, 0));
}
