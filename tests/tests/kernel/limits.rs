//! What happens when something is full, or too fast: nothing breaks, and what is lost is counted.

use std::net::{Ipv4Addr, SocketAddr};

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, Tally};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_user::api::model::EventKind;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy, wait_for};

/// Two slots, two endpoints in them, and then all of a network.
#[test]
fn when_all_slots_are_taken_further_endpoints_pass_unguarded() {
    let (mut caller, cgroup) = caller("full");
    let guarded = [backend(Behaviour::Healthy), backend(Behaviour::Healthy)];
    let beyond = backend(Behaviour::Refuse);
    let endpoints = [guarded[0].addr(), guarded[1].addr()];
    let text = crowded(&cgroup, 2, &endpoints, beyond.addr().port());
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");

    let many = network(beyond.addr().port(), 200);
    let tally = caller.burst(&many, 1, 1).expect("it lives");
    assert_eq!(tally.failed.get(&libc::ECONNREFUSED), Some(&200), "{tally:?}");
    let call = caller.call_many(beyond.addr(), 20, PATIENCE).expect("it lives");
    assert!(call.iter().all(|call| call.connect_errno() == Some(libc::ECONNREFUSED)));
    beyond.set(Behaviour::Healthy).expect("it lives");
    assert_all_answered(&caller.call_many(beyond.addr(), 20, PATIENCE).expect("it lives"));

    guarded[0].set(Behaviour::Refuse).expect("it lives");
    caller.call_many(guarded[0].addr(), 3, PATIENCE).expect("it lives");
    let errors = errors_until_open(&events, guarded[0].addr());
    assert_eq!(errors.len(), 1, "said once: {errors:#?}");
    assert!(errors[0].contains("all 2 endpoint slots are in use; raise max_endpoints"));
    let refused = caller.call(guarded[0].addr(), PATIENCE).expect("it lives");
    assert_eq!(refused.connect_errno(), Some(libc::EHOSTUNREACH));
    assert_all_answered(&caller.call_many(guarded[1].addr(), 20, PATIENCE).expect("it lives"));
    assert_eq!(guarded[0].accepted(), 0);
    let node = daemon.status().expect("it answers").node;
    assert_eq!((node.endpoints, node.max_endpoints), (2, 2));
}

/// The most slots there can be, all taken.
#[test]
fn with_sixty_five_thousand_endpoints_the_last_is_guarded_like_the_first() {
    let (mut caller, cgroup) = caller("most");
    let backends = [Behaviour::Refuse, Behaviour::Refuse, Behaviour::Healthy].map(backend);
    let [first, last, beyond] = backends.each_ref().map(Backend::addr);
    let mut endpoints = network(9, 65_536);
    (endpoints[0], endpoints[65_535]) = (first, last);
    // A look at so many takes a while in a build without optimisation.
    let patient = "tick = \"1s\"\nverdict_ttl = \"10s\"";
    let text = crowded(&cgroup, 65_536, &endpoints, beyond.port());
    let text = text.replace("verdict_ttl = \"1s\"", patient);
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    assert_all_answered(&caller.call_many(beyond, 3, PATIENCE).expect("it lives"));
    for (backend, endpoint) in backends.iter().zip([first, last]) {
        caller.call_many(endpoint, 3, PATIENCE).expect("it lives");
        events.wait_for_state(endpoint, "open").expect("it opens");
        backend.set(Behaviour::Healthy).expect("it lives");
        let call = caller.call(endpoint, PATIENCE).expect("it lives");
        assert_eq!(call.connect_errno(), Some(libc::EHOSTUNREACH));
        assert_eq!(backend.accepted(), 0);
    }
    let said = daemon.succeed(&["events"]).expect("it answers");
    assert!(said.contains("all 65536 endpoint slots are in use"), "{said}");
}

/// A daemon that is stopped reads nothing; the ring holds what it can, and the rest is counted.
#[test]
fn when_the_ring_is_full_events_are_lost_counted_and_come_again() {
    let (mut caller, cgroup) = caller("ring");
    let backend = backend(Behaviour::Refuse);
    let port = backend.addr().port();
    let text = crowded(&cgroup, 10_000, &[backend.addr()], port);
    let daemon = Daemon::start(&text).expect("it starts");

    daemon.pause().expect("it stops");
    let many = network(port, u32::try_from(EVENTS_OF_THE_RING).expect("few") + 1_000);
    let tally = caller.burst(&many, 1, 1).expect("it lives");
    assert_eq!(tally.connected, 0, "{tally:?}");
    // A run of failures that nobody is told of.
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    daemon.signal(libc::SIGCONT);

    // The next look finds the run all the same.
    wait_until_shed(&mut caller, backend.addr());
    let node = daemon.status().expect("it answers").node;
    // The first failure, if the daemon rested, and the refusal that shows the run are told of as well, and may each be
    // one too many.
    assert!((1_001..=1_003).contains(&node.events_lost), "{}", node.events_lost);
    assert_eq!(node.events_undecodable, 0);
    // What was lost comes again with a later connect, behind all that was not.
    wait_until_shed(&mut caller, many.last().copied().expect("there are many"));
    let node = daemon.status().expect("it answers").node;
    assert_eq!(u64::from(node.endpoints), 1 + EVENTS_OF_THE_RING + 1);
}

/// New endpoints come faster than the daemon can take them in, and verdicts are renewed all the same.
#[test]
fn a_flood_of_new_endpoints_does_not_unguard_the_others() {
    let (mut flooding, cgroup) = caller("flood");
    let mut asking = Caller::spawn(&cgroup).expect("a caller starts");
    let backend = backend(Behaviour::Healthy);
    let port = backend.addr().port();
    let text = crowded(&cgroup, 50_000, &[backend.addr()], port);
    let daemon = Daemon::start(&text).expect("it starts");
    daemon.succeed(&["trip", &backend.addr().to_string()]).expect("root may trip");

    std::thread::scope(|scope| {
        let flood = scope.spawn(|| flooding.burst(&network(port, 40_000), 1, 2));
        while !flood.is_finished() {
            let call = asking.call(backend.addr(), PATIENCE).expect("it lives");
            assert_eq!(call.connect_errno(), Some(libc::EHOSTUNREACH));
        }
        let tally = flood.join().expect("no panic").expect("they live");
        assert_eq!(tally.failed, [(libc::ECONNREFUSED, 80_000)].into());
    });
    assert_eq!(backend.accepted(), 0);
}

/// As fast as the machine can, by several processes at once: every connect is counted, none is
/// lost, and none is counted twice.
#[test]
fn at_full_speed_every_connect_is_counted() {
    let (mut caller, cgroup) = caller("speed");
    // Few enough connects for each that no accept queue fills up, however late it is read.
    let healthy = [(); 5].map(|()| backend(Behaviour::Healthy));
    let open = backend(Behaviour::Healthy);
    let mut endpoints: Vec<_> = healthy.iter().map(Backend::addr).collect();
    endpoints.push(open.addr());
    let daemon = Daemon::start(&policy(&cgroup, &endpoints, LASTING)).expect("it starts");
    daemon.succeed(&["trip", &open.addr().to_string()]).expect("root may trip");

    let tally = caller.burst(&endpoints, 1_000, 4).expect("they live");
    let expected = Tally { connected: 20_000, failed: [(libc::ECONNREFUSED, 4_000)].into() };
    assert_eq!(tally, expected);
    let status = daemon.status().expect("it answers");
    for breaker in &status.breakers {
        let counts = (breaker.allowed_total, breaker.shed_total, breaker.outcomes.idle_closed);
        if breaker.endpoint == open.addr().to_string() {
            assert_eq!(counts, (0, 4_000, 0));
        } else {
            assert_eq!(counts, (4_000, 0, 4_000));
            assert_eq!((breaker.state.as_str(), breaker.window.failures), ("closed", 0));
        }
    }
    assert!(healthy.iter().all(|backend| backend.accepted() == 4_000));
    assert_eq!((open.accepted(), status.node.untagged), (0, 0));
}

/// A policy about `endpoints` and a network around them, which has room for `slots` breakers.
fn crowded(cgroup: &Cgroup, slots: u32, endpoints: &[SocketAddr], network_port: u16) -> String {
    let network = format!("endpoints = [\"127.0.0.0/8:{network_port}\", ");
    let rules = LASTING.replace("open = {", "open = { errno = \"EHOSTUNREACH\",");
    let text = policy(cgroup, endpoints, &rules).replace("endpoints = [", &network);
    format!("[node]\nmax_endpoints = {slots}\nverdict_ttl = \"1s\"\n{text}")
}

/// Addresses of a loopback network that nobody has used.
fn network(port: u16, hosts: u32) -> Vec<SocketAddr> {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 0));
    (first..first + hosts).map(|host| (Ipv4Addr::from(host), port).into()).collect()
}

/// What the daemon complains about until a breaker opens.
fn errors_until_open(events: &Events, endpoint: SocketAddr) -> Vec<String> {
    let endpoint = endpoint.to_string();
    let mut errors = Vec::new();
    let opened = events.wait_for(|event| {
        if event.kind == EventKind::Error {
            errors.push(event.text.clone());
        }
        let EventKind::Transition { endpoint: of, to, .. } = &event.kind else { return None };
        (*of == endpoint && to == "open").then_some(())
    });
    opened.expect("it opens");
    errors
}

/// Calls until the verdict refuses it. Those who follow events may miss some, where so much happens
/// at once.
fn wait_until_shed(caller: &mut Caller, endpoint: SocketAddr) {
    wait_for("the breaker opens", || {
        let call = caller.call(endpoint, PATIENCE).expect("it lives");
        call.connect_errno() == Some(libc::EHOSTUNREACH)
    });
}

/// Records of 64 bytes with a head of 8 in 256 KiB, whole ones.
const EVENTS_OF_THE_RING: u64 = 3_640;
