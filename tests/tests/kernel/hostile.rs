//! What a hostile container in a guarded cgroup can do to others: nothing it does makes their breakers
//! open, keeps them from opening, takes their place, or keeps the daemon from its work.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::netns::NetNs;
use shedder_user::api::model::{Breaker, EventKind};

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy_for, wait_for};

/// The hostile caller connects as fast as it can, and is refused as fast as it can. The other one is served, its
/// breakers are where they were, and one of them opens meanwhile.
#[test]
fn a_flood_of_one_caller_neither_opens_nor_blocks_the_breakers_of_another() {
    let ((mut hostile, hostile_cgroup), (mut other, other_cgroup)) =
        (caller("flood"), caller("calm"));
    let backends = [(); 4].map(|()| backend(Behaviour::Healthy));
    let [flooded, shed, served, failing] = backends.each_ref().map(Backend::addr);
    let text = both(&hostile_cgroup, &other_cgroup, &[flooded, shed, served, failing]);
    // What a caller is refused of its own connects brakes nobody else.
    let text = format!("[node]\nverdict_ttl = \"1s\"\n{text}");
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    daemon.succeed(&["trip", &shed.to_string(), "--caller", "hostile"]).expect("root may");
    // Beyond what a node refuses within five seconds before it opens nothing more.
    let refused = hostile.burst(&[shed], 100_000, 2).expect("they live").failed;
    assert_eq!(refused, [(libc::ECONNREFUSED, 200_000)].into());

    backends[3].set(Behaviour::Refuse).expect("it lives");
    let calls = std::thread::scope(|scope| {
        let flood = scope.spawn(|| hostile.burst(&[flooded, shed, shed], 5_000, 2));
        let calls = other.call_many(served, 200, PATIENCE).expect("it lives");
        other.call_many(failing, 3, PATIENCE).expect("it lives");
        events.wait_for_state(failing, "open").expect("it opens");
        let refused = other.call(failing, PATIENCE).expect("it lives");
        assert_eq!(refused.connect_errno(), Some(libc::ECONNREFUSED));
        let tally = flood.join().expect("no panic").expect("they live");
        assert_eq!(tally.connected, 10_000);
        assert_eq!(tally.failed, [(libc::ECONNREFUSED, 20_000)].into());
        calls
    });
    assert_all_answered(&calls);
    let mut slow: Vec<u64> = calls.iter().map(|call| call.connect_us).collect();
    slow.sort_unstable();
    assert!(slow[100] < 20_000, "half of the connects take longer than {} us", slow[100]);
    let breakers = breakers(&daemon, "other");
    let of = |endpoint: SocketAddr| {
        let endpoint = endpoint.to_string();
        breakers.iter().find(|breaker| breaker.endpoint == endpoint).expect("it has one")
    };
    let states = [flooded, shed, served, failing].map(|endpoint| of(endpoint).state.as_str());
    assert_eq!(states, ["closed", "closed", "closed", "open"]);
    assert_eq!((of(served).allowed_total, of(served).outcomes.answered), (200, 200));
    let node = daemon.status().expect("it answers").node;
    assert_eq!((node.untagged, node.events_undecodable), (0, 0));
}

/// Endless addresses fill no more than half of what there is, are told of once, and not at all any more while there is
/// no room. Another caller's endpoint is found, guarded and opened.
#[test]
fn one_caller_cannot_take_all_slots() {
    let ((mut hostile, hostile_cgroup), (mut other, other_cgroup)) =
        (caller("greedy"), caller("modest"));
    let backend = backend(Behaviour::Refuse);
    let port = backend.addr().port();
    let text = both(&hostile_cgroup, &other_cgroup, &[])
        .replace("endpoints = []", &format!("endpoints = [\"127.0.0.0/8:{port}\"]"));
    let daemon = Daemon::start(&format!("[node]\nmax_endpoints = 200\n{text}")).expect("it starts");
    let events = daemon.events().expect("it answers");

    let all = network(port, 20_000);
    hostile.burst(&all[..2_000], 1, 1).expect("it lives");
    let said = events
        .wait_for(|event| (matches!(event.kind, EventKind::Error)).then(|| event.text.clone()));
    let said = said.expect("it is told");
    assert!(said.contains("caller hostile has as many endpoints"), "{said}");
    wait_for("it has its share", || breakers(&daemon, "hostile").len() == 100);

    // A daemon that reads nothing for a while shows what the kernel tells: nothing.
    let lost = || daemon.status().expect("it answers").node.events_lost;
    let before = lost();
    daemon.pause().expect("it stops");
    hostile.burst(&all[2_000..], 1, 1).expect("it lives");
    daemon.signal(libc::SIGCONT);
    assert_eq!(lost(), before, "18000 connects to addresses without room");

    wait_for("it is found", || {
        other.call(backend.addr(), PATIENCE).expect("it lives");
        breakers(&daemon, "other").iter().any(|breaker| breaker.state == "open")
    });
    let said = daemon.succeed(&["events"]).expect("it answers");
    assert_eq!(said.matches("gets no breaker").count(), 1, "{said}");
    assert_eq!(breakers(&daemon, "hostile").len(), 100);
}

/// Connects that are begun and dropped, reset, cancelled, taken elsewhere, half closed: whatever one does on purpose
/// is its own affair.
#[test]
fn what_one_caller_spoils_on_purpose_is_no_evidence_of_anothers() {
    let ((mut hostile, hostile_cgroup), (mut other, other_cgroup)) =
        (caller("spoiler"), caller("victim"));
    let backends = [(); 2].map(|()| backend(Behaviour::Healthy));
    let endpoints = backends.each_ref().map(Backend::addr);
    let text = both(&hostile_cgroup, &other_cgroup, &endpoints);
    let daemon = Daemon::start(&text).expect("it starts");
    hostile.live(&endpoints, 2_000, 7).expect("it lives");
    for endpoint in endpoints {
        // Its own time limit passes at once, over and over.
        hostile.call_many(endpoint, 50, Duration::from_micros(1)).expect("it lives");
        assert_all_answered(&other.call_many(endpoint, 50, PATIENCE).expect("it lives"));
    }
    for breaker in breakers(&daemon, "other") {
        let Breaker { state, window, outcomes, allowed_total, .. } = breaker;
        assert_eq!((state.as_str(), window.failures), ("closed", 0));
        assert_eq!((allowed_total, outcomes.answered), (50, 50));
    }
}

/// In a network of their own two containers make an address look dead that is well. Their breakers open; that
/// of a caller who is served well does not, although callers of an endpoint learn from each other.
#[test]
fn liars_open_their_own_breakers_only() {
    let endpoint: SocketAddr = "192.0.2.77:7000".parse().expect("an address");
    let home = NetNs::new("truth").expect("a namespace can be made: run as root");
    home.ip("address add 192.0.2.77/32 dev lo").expect("root may");
    let serving = home.enter(|| Backend::start_at(endpoint, Behaviour::Healthy)).expect("root");
    let serving = serving.expect("the port is free");
    let cgroups = ["one", "two", "honest"].map(|label| Cgroup::new(label).expect("run as root"));
    let [one, two, honest] = &cgroups;
    let rules = format!(
        "{LASTING}caller_timeout = \"200ms\"\nsafety = {{ lone = \"open\", scope = \"endpoint\", false_refusals = 0 }}"
    );
    let callers = [("one", one), ("two", two), ("honest", honest)];
    let daemon = Daemon::start(&policy_for(&callers, &[endpoint], &rules)).expect("it starts");
    let mut victim = Caller::spawn_in(honest, &home).expect("a caller starts");
    assert_all_answered(&victim.call_many(endpoint, 20, PATIENCE).expect("it lives"));

    for (name, cgroup) in [("one", one), ("two", two)] {
        let mut liar = Caller::spawn_by(cgroup, liar()).expect("user namespaces can be made");
        let calls = liar.call_many(endpoint, 3, Duration::from_millis(250)).expect("it lives");
        assert!(calls.iter().all(|call| !call.answered()), "{calls:?}");
        wait_for("its own opens", || breakers(&daemon, name)[0].state == "open");
    }
    assert_all_answered(&victim.call_many(endpoint, 20, PATIENCE).expect("it lives"));
    let breaker = &breakers(&daemon, "honest")[0];
    assert_eq!((breaker.state.as_str(), breaker.shed_total), ("closed", 0));
    assert_eq!(serving.accepted(), 40);
}

/// Cgroups come and go by the hundred, more than there are descriptors by default; the verdicts of others stay in
/// force all the time, and in the end each is guarded.
#[test]
fn cgroups_made_by_the_hundred_unguard_nobody() {
    let outer = Cgroup::new("swarm").expect("a cgroup can be made: run as root");
    let (mut other, other_cgroup) = caller("steady");
    let backend = backend(Behaviour::Healthy);
    let text = both(&outer, &other_cgroup, &[backend.addr()])
        .replace(&format!("\"{}\"", outer.name()), &format!("\"{}/job-*\"", outer.name()));
    let text = format!("[node]\nverdict_ttl = \"1s\"\n{text}");
    let few = ["sh", "-c", "ulimit -S -n 256 && exec \"$@\"", "sh"];
    let daemon = Daemon::start_through(&few, &text, &[]).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string(), "--caller", "other"]).expect("root may");
    let mut all_refused_until = |what: &str, has_come: &dyn Fn(usize) -> bool| {
        wait_for(what, || {
            let call = other.call(backend.addr(), PATIENCE).expect("it lives");
            assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "{what}");
            has_come(daemon.status().expect("it answers").node.cgroups.len())
        });
    };
    let swarm: Vec<Cgroup> =
        (0..100).map(|job| outer.child(&format!("job-{job}")).expect("a cgroup")).collect();
    all_refused_until("all are guarded", &|guarded| guarded == 101);
    drop(swarm);
    all_refused_until("all are let go", &|guarded| guarded == 1);
}

/// A cgroup that is made inside another caller's, under a name that another pattern means, is not guarded as that
/// caller, and does not keep a daemon from starting.
#[test]
fn a_cgroup_inside_anothers_belongs_to_whom_it_is_inside() {
    let outer = Cgroup::new("landlord").expect("a cgroup can be made: run as root");
    let inside = outer.child("web").expect("a cgroup");
    let (_other, other_cgroup) = caller("web");
    let backend = backend(Behaviour::Healthy);
    let text = both(&outer, &other_cgroup, &[backend.addr()]);
    let pattern = format!("\"{}\", \"{}*/web\"", other_cgroup.name(), outer.name());
    let text = text.replace(&format!("\"{}\"", other_cgroup.name()), &pattern);
    let daemon = Daemon::start(&text).expect("it starts");
    let said = format!("{} is not guarded: it lies inside or around", inside.name());
    wait_for("it is told", || daemon.succeed(&["events"]).expect("it answers").contains(&said));
    daemon.succeed(&["trip", &backend.addr().to_string(), "--caller", "hostile"]).expect("root");
    let mut within = Caller::spawn(&inside).expect("a caller starts");
    let call = within.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "guarded as what it is inside");
}

/// A policy for a hostile caller and another one.
fn both(hostile: &Cgroup, other: &Cgroup, endpoints: &[SocketAddr]) -> String {
    policy_for(&[("hostile", hostile), ("other", other)], endpoints, LASTING)
}

fn breakers(daemon: &Daemon, caller: &str) -> Vec<Breaker> {
    let mut breakers = daemon.status().expect("it answers").breakers;
    breakers.retain(|breaker| breaker.caller == caller);
    breakers
}

/// Root in namespaces of its own, where what is sent to 192.0.2.0/24 goes nowhere.
fn liar() -> Command {
    let program = Caller::program().expect("it is built");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
    command.arg(
        "ip link set lo up && ip address add 192.0.2.1/32 dev lo && ip route add 192.0.2.0/24 dev lo && exec \"$0\"",
    );
    command.arg(program);
    command
}

/// Addresses of a loopback network that nobody has used.
fn network(port: u16, hosts: u32) -> Vec<SocketAddr> {
    let first = u32::from(Ipv4Addr::new(127, 9, 0, 0));
    (first..first + hosts).map(|host| (IpAddr::V4(Ipv4Addr::from(host)), port).into()).collect()
}
