//! The same address in several network namespaces: as many endpoints, where the policy says so.

use std::fs;
use std::net::SocketAddr;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, ConnectionId};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_tests::netns::NetNs;
use shedder_user::api::model::{Breaker, EventKind};

use crate::scene::{LASTING, PATIENCE, assert_all_answered, policy, wait_for};

/// A caller in a network namespace of its own, with backends that have the same addresses in each.
struct Place {
    caller: Caller,
    backends: Vec<Backend>,
    /// As `readlink` prints it.
    name: String,
    _net: NetNs,
}

#[test]
fn what_fails_in_one_is_not_held_against_the_other() {
    let cgroup = Cgroup::new("networks").expect("a cgroup");
    let mut sick = place(&cgroup, &[7000], Behaviour::Refuse);
    let mut well = place(&cgroup, &[7000], Behaviour::Healthy);
    let daemon = separate(&cgroup, "127.0.0.1:7000", LASTING, "");
    let events = daemon.events().expect("it answers");

    meet(&daemon, &mut sick);
    meet(&daemon, &mut well);
    sick.caller.call_many(endpoint(7000), 3, PATIENCE).expect("it lives");
    assert_eq!(opened(&events), sick.name);
    assert_all_answered(&well.caller.call_many(endpoint(7000), 20, PATIENCE).expect("it lives"));
    let refused = sick.caller.call(endpoint(7000), PATIENCE).expect("it lives");
    assert_eq!(refused.connect_errno(), Some(libc::ECONNREFUSED));
    let (of_sick, of_well) = (breaker(&daemon, &sick), breaker(&daemon, &well));
    assert_eq!((of_sick.state.as_str(), of_sick.shed_total), ("open", 1));
    assert_eq!((of_well.state.as_str(), of_well.shed_total), ("closed", 0));
    assert_eq!(of_well.outcomes.refused, 0);
}

/// Orders reach the namespace they name, and explanations name it.
#[test]
fn an_order_for_one_leaves_the_other_alone() {
    let cgroup = Cgroup::new("networks").expect("a cgroup");
    let mut places = [0, 1].map(|_| place(&cgroup, &[7000], Behaviour::Healthy));
    let daemon = separate(&cgroup, "127.0.0.1:7000", LASTING, "");
    for place in &mut places {
        meet(&daemon, place);
    }
    let [tripped, other] = &mut places;
    let done = daemon.succeed(&["trip", "127.0.0.1:7000", "--network", &tripped.name]);
    let done = done.expect("root may trip");
    let first = format!("tripped for 5m: app calling db at 127.0.0.1:7000 in {}\n", tripped.name);
    assert_eq!(done, first);
    assert!(!tripped.caller.call(endpoint(7000), PATIENCE).expect("it lives").answered());
    assert_all_answered(&other.caller.call_many(endpoint(7000), 5, PATIENCE).expect("it lives"));
    let pid = tripped.caller.pid().to_string();
    wait_for("the refusal is told", || {
        let told = daemon.succeed(&["explain", "--pid", &pid]).expect("it answers");
        told.contains(&format!("ECONNREFUSED to 127.0.0.1:7000 in {}", tripped.name))
    });
    let all = daemon.succeed(&["trip", "127.0.0.1:7000"]).expect("root may trip");
    assert_eq!(all.lines().count(), 2, "{all}");
    let none = daemon.command(&["trip", "127.0.0.1:7000", "--network", "net:[1]"]);
    let none = none.expect("it runs");
    assert!(String::from_utf8_lossy(&none.stderr).contains("has no breaker in net:[1]"));
}

/// A sibling elsewhere has the same address and is not reachable from here.
#[test]
fn a_redirect_stays_in_the_namespace() {
    let cgroup = Cgroup::new("networks").expect("a cgroup");
    let mut places = [0, 1].map(|_| place(&cgroup, &[7000, 7001], Behaviour::Healthy));
    let rules = LASTING.replace("open = {", "open = { action = \"redirect\",");
    let daemon = separate(&cgroup, "127.0.0.1:7000\", \"127.0.0.1:7001", &rules, "");
    let events = daemon.events().expect("it answers");
    for place in &mut places {
        meet(&daemon, place);
    }
    // The one that was met later: what was met first would be the first choice.
    let [other, sick] = &mut places;
    // Only the first address was called, and the second has its breaker as well.
    let of_sick = daemon.status().expect("it answers").breakers;
    assert_eq!(of_sick.iter().filter(|b| b.network.as_ref() == Some(&sick.name)).count(), 2);
    sick.backends[0].set(Behaviour::Refuse).expect("it lives");
    sick.caller.call_many(endpoint(7000), 3, PATIENCE).expect("it lives");
    assert_eq!(opened(&events), sick.name);
    let before = other.backends[1].accepted();
    assert_all_answered(&sick.caller.call_many(endpoint(7000), 5, PATIENCE).expect("it lives"));
    assert_eq!((sick.backends[1].accepted(), other.backends[1].accepted()), (5, before));
    assert_eq!(breaker(&daemon, sick).shed_total, 5);
    let breakers = daemon.status().expect("it answers").breakers;
    let siblings = breakers.iter().filter(|b| b.endpoint == endpoint(7001).to_string());
    let mut allowed: Vec<_> = siblings.map(|b| (b.network.clone(), b.allowed_total)).collect();
    allowed.sort_by_key(|(_, allowed)| *allowed);
    assert_eq!(allowed, [(Some(other.name.clone()), 0), (Some(sick.name.clone()), 5)]);
}

/// The connections of the other namespace go to another endpoint.
#[test]
fn established_connections_elsewhere_are_kept() {
    let cgroup = Cgroup::new("networks").expect("a cgroup");
    let mut places = [0, 1].map(|_| place(&cgroup, &[7000], Behaviour::Healthy));
    let rules = LASTING.replace("open = {", "open = { established = \"reset\",");
    let daemon = separate(&cgroup, "127.0.0.1:7000", &rules, "");
    let events = daemon.events().expect("it answers");
    let kept: Vec<ConnectionId> = places
        .iter_mut()
        .map(|place| {
            meet(&daemon, place);
            place.caller.open(endpoint(7000), PATIENCE).expect("it opens")
        })
        .collect();
    let [sick, other] = &mut places;
    daemon.succeed(&["trip", "127.0.0.1:7000", "--network", &sick.name]).expect("root may");
    let destroyed = events.wait_for(|event| {
        let EventKind::Established { over: true, destroyed, network, .. } = &event.kind else {
            return None;
        };
        Some((*destroyed, network.clone()))
    });
    assert_eq!(destroyed.expect("it is told"), (1, Some(sick.name.clone())));
    assert!(!sick.caller.request(kept[0], PATIENCE).expect("it lives").answered());
    assert!(other.caller.request(kept[1], PATIENCE).expect("it lives").answered());
}

/// Containers come and go; what they called goes with them.
#[test]
fn a_namespace_that_is_gone_makes_room() {
    let cgroup = Cgroup::new("networks").expect("a cgroup");
    let node = "[node]\nmax_endpoints = 1\nforget_after = \"1s\"\n";
    let daemon = separate(&cgroup, "localhost:7000", LASTING, node);
    let events = daemon.events().expect("it answers");
    for _ in 0..2 {
        let mut place = place(&cgroup, &[7000], Behaviour::Healthy);
        meet(&daemon, &mut place);
        let name = place.name.clone();
        drop(place);
        let gone = events.wait_for(|event| {
            let kind = &event.kind;
            matches!(kind, EventKind::Forgotten { network, .. } if network.as_ref() == Some(&name))
                .then_some(())
        });
        gone.expect("it is forgotten");
    }
    assert_eq!(daemon.status().expect("it answers").node.endpoints, 0);
}

/// What is not told apart is found as before, by the same caller, in the same namespace.
#[test]
fn other_services_of_the_caller_are_shared() {
    let cgroup = Cgroup::new("networks").expect("a cgroup");
    let mut places = [0, 1].map(|_| place(&cgroup, &[7000, 7001, 7002], Behaviour::Healthy));
    let text = separate_policy(&cgroup, "127.0.0.1:7000", LASTING);
    let text = format!(
        "{text}\n[[service]]\nname = \"shared\"\nendpoints = [\"127.0.0.1:7001\", \"127.0.0.0/8:7002\"]\n[[policy]]\ncaller = \"app\"\nservice = \"shared\"\nmode = \"enforce\"\n"
    );
    let daemon = Daemon::start(&text).expect("it starts");
    for place in &mut places {
        meet(&daemon, place);
        let calls = place.caller.call_many(endpoint(7001), 2, PATIENCE).expect("it lives");
        assert_all_answered(&calls);
        let is_found = || daemon.breaker(endpoint(7002)).is_ok();
        wait_for("it is found", || {
            place.caller.call(endpoint(7002), PATIENCE).expect("it lives");
            is_found()
        });
    }
    let breakers = daemon.status().expect("it answers").breakers;
    let networks = |port| {
        let at = endpoint(port).to_string();
        let found: Vec<Option<String>> =
            breakers.iter().filter(|b| b.endpoint == at).map(|b| b.network.clone()).collect();
        found
    };
    assert_eq!(networks(7000).len(), 2);
    assert_eq!((networks(7001), networks(7002)), (vec![None], vec![None]));
    assert_eq!(daemon.breaker(endpoint(7001)).expect("it has one").allowed_total, 4);
}

fn separate(cgroup: &Cgroup, endpoints: &str, rules: &str, node: &str) -> Daemon {
    let text = separate_policy(cgroup, endpoints, rules);
    Daemon::start(&format!("{node}{text}")).expect("it starts")
}

fn separate_policy(cgroup: &Cgroup, endpoints: &str, rules: &str) -> String {
    let wanted = format!("endpoints = [\"{endpoints}\"]\nseparate_networks = true");
    policy(cgroup, &[], rules).replace("endpoints = []", &wanted)
}

fn place(cgroup: &Cgroup, ports: &[u16], behaviour: Behaviour) -> Place {
    let net = NetNs::new("separate").expect("a namespace can be made: run as root");
    let start = |port: &u16| Backend::start_at(endpoint(*port), behaviour);
    let backends = net.enter(|| ports.iter().map(start).collect()).expect("root may enter");
    let backends: Result<Vec<_>, _> = backends;
    let caller = Caller::spawn_in(cgroup, &net).expect("a caller starts");
    let name = fs::read_link(format!("/proc/{}/ns/net", caller.pid())).expect("it lives");
    let name = name.to_string_lossy().into_owned();
    Place { caller, backends: backends.expect("the ports are free"), name, _net: net }
}

/// Calls until the first address has its breaker in this namespace.
fn meet(daemon: &Daemon, place: &mut Place) {
    let at = place.backends[0].addr();
    let behaviour_is_known = || {
        let breakers = daemon.status().expect("it answers").breakers;
        breakers
            .iter()
            .any(|b| b.endpoint == at.to_string() && b.network.as_ref() == Some(&place.name))
    };
    wait_for("the endpoint is found", || {
        place.caller.call(at, PATIENCE).expect("it lives");
        behaviour_is_known()
    });
}

fn breaker(daemon: &Daemon, place: &Place) -> Breaker {
    let breakers = daemon.status().expect("it answers").breakers;
    let at = endpoint(7000).to_string();
    let own = |b: &Breaker| b.endpoint == at && b.network.as_ref() == Some(&place.name);
    breakers.into_iter().find(own).expect("it has one")
}

/// The namespace of the first breaker to open.
fn opened(events: &Events) -> String {
    let opened = events.wait_for(|event| {
        let EventKind::Transition { to, network, .. } = &event.kind else { return None };
        network.clone().filter(|_| to == "open")
    });
    opened.expect("one opens")
}

fn endpoint(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
