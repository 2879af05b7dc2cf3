//! A run of failures is shed by the kernel itself, before the daemon knows of it, and only where it
//! would open (ST-1, S0.9).

use std::net::{Ipv4Addr, SocketAddr};

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_tests::wire::SynCounter;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy, wait_until};

/// The connect after the last failure is refused although the daemon is stopped at that moment.
#[test]
fn the_connect_after_the_burst_is_refused_while_the_daemon_is_stopped() {
    let (mut caller, cgroup) = caller("burst");
    let backend = backend(Behaviour::Refuse);
    // This caller calls nothing else, so that a brake would have its say.
    let text = format!(
        "node = {{ verdict_ttl = \"60s\", brakes = {{ caller_refused = 1.0 }} }}\n{}",
        policy(&cgroup, &[backend.addr()], LASTING)
    );
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    wait_until(&daemon, backend.addr(), |breaker| breaker.verdict.sheds_after_failures == Some(3));
    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count packets");
    daemon.signal(libc::SIGSTOP);
    for _ in 0..50 {
        let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
        assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
    }
    assert_eq!(wire.count().expect("the counter lives"), 3, "the fourth never left");
    daemon.signal(libc::SIGCONT);
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.shed_total, breaker.burst_shed_total, breaker.allowed_total), (47, 47, 3));
}

/// The daemon takes over from the kernel while connects go on: from the run to the verdict there is no gap.
#[test]
fn no_connect_slips_through_while_the_daemon_takes_over() {
    let (mut caller, cgroup) = caller("take-over");
    let [ill, well] = [Behaviour::Refuse, Behaviour::Healthy].map(backend);
    let first = Ipv4Addr::new(127, 3, 0, 0).to_bits();
    let address = |host| SocketAddr::from((Ipv4Addr::from_bits(first + host), ill.addr().port()));
    let endpoints: Vec<SocketAddr> = (0..200).map(address).collect();
    let all: Vec<SocketAddr> = endpoints.iter().copied().chain([well.addr()]).collect();
    let brakes = "{ trips_per_minute = 1000000, refusals_per_second = 100000000, caller_refused = 1.0, suspect = 1.0 }";
    let rules = LASTING.replace("open = {", "open = { errno = \"EHOSTUNREACH\",");
    let text = format!("node = {{ brakes = {brakes} }}\n{}", policy(&cgroup, &all, &rules));
    let daemon = Daemon::start(&text).expect("it starts");
    assert_all_answered(&caller.call_many(well.addr(), 5, PATIENCE).expect("it lives"));
    // One that is in use and well, and known to be: where all in use are open, the kernel is told of no bursts.
    wait_until(&daemon, well.addr(), |breaker| breaker.window.attempts == 5);
    wait_until(&daemon, endpoints[0], |breaker| breaker.verdict.sheds_after_failures == Some(3));
    let mut leaked = 0;
    for endpoint in endpoints {
        // Some milliseconds, within which the daemon is woken.
        let tally = caller.burst(&[endpoint], 1000, 1).expect("it lives");
        let [refused, shed] = [libc::ECONNREFUSED, libc::EHOSTUNREACH]
            .map(|errno| tally.failed.get(&errno).copied().unwrap_or_default());
        assert_eq!((tally.connected, refused + shed), (0, 1000), "{endpoint}: {tally:?}");
        assert!(refused >= 3, "{endpoint}: shed before the limit: {tally:?}");
        leaked += refused - 3;
    }
    assert_eq!(leaked, 0, "of 199,400 connects");
}

/// Nothing is shed on behalf of a daemon that does not come back.
#[test]
fn a_burst_is_let_through_when_the_daemon_stays_away() {
    let (mut caller, cgroup) = caller("away");
    let backend = backend(Behaviour::Refuse);
    let text = format!(
        "node = {{ verdict_ttl = \"500ms\" }}\n{}",
        policy(&cgroup, &[backend.addr()], LASTING)
    );
    let daemon = Daemon::start(&text).expect("it starts");
    wait_until(&daemon, backend.addr(), |breaker| breaker.verdict.sheds_after_failures == Some(3));
    daemon.signal(libc::SIGSTOP);
    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    backend.set(Behaviour::Healthy).expect("it lives");
    let mut refused = 0;
    while !caller.call(backend.addr(), PATIENCE).expect("it lives").answered() {
        refused += 1;
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert!(refused < 1_000, "it never comes back");
    }
    assert!(refused > 0, "the verdict held for a while");
    assert_all_answered(&caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives"));
    daemon.signal(libc::SIGCONT);
}

/// The only endpoint of a service is not opened, so its bursts are not shed either.
#[test]
fn a_burst_at_a_lone_endpoint_is_left_to_the_daemon() {
    let (mut caller, cgroup) = caller("lone-burst");
    let backend = backend(Behaviour::Refuse);
    let rules = format!("{LASTING}safety = {{ lone = \"throttle\" }}");
    let text = format!(
        "node = {{ verdict_ttl = \"60s\" }}\n{}",
        policy(&cgroup, &[backend.addr()], &rules)
    );
    let daemon = Daemon::start(&text).expect("it starts");
    assert_eq!(
        daemon.breaker(backend.addr()).expect("it has one").verdict.sheds_after_failures,
        None
    );
    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count packets");
    daemon.signal(libc::SIGSTOP);
    caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives");
    assert_eq!(wire.count().expect("the counter lives"), 20);
    daemon.signal(libc::SIGCONT);
}

/// A policy that only observes counts what it would have shed, and sheds nothing.
#[test]
fn a_burst_is_only_counted_where_the_policy_observes() {
    let (mut caller, cgroup) = caller("seen-burst");
    let backend = backend(Behaviour::Refuse);
    let text = policy(&cgroup, &[backend.addr()], LASTING).replace("\"enforce\"", "\"observe\"");
    let text = format!("node = {{ verdict_ttl = \"60s\" }}\n{text}");
    let daemon = Daemon::start(&text).expect("it starts");
    wait_until(&daemon, backend.addr(), |breaker| breaker.verdict.sheds_after_failures == Some(3));
    daemon.signal(libc::SIGSTOP);
    caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives");
    daemon.signal(libc::SIGCONT);
    let breaker = wait_until(&daemon, backend.addr(), |breaker| breaker.would_shed_total == 17);
    assert_eq!((breaker.shed_total, breaker.allowed_total), (0, 20));
}
