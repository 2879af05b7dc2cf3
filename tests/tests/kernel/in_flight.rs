//! What has begun and not ended: seen while callers still wait, and never lost count of (S1.2, S1.22, S4.24).

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::daemon::Daemon;
use shedder_tests::wire::SynCounter;
use shedder_user::api::model::InFlight;

use crate::scene::{
    LASTING, PATIENCE, WATCH, assert_all_answered, backend, caller, policy, policy_for, wait_until,
};

const NOTHING: InFlight = InFlight { connecting: 0, waiting: 0, stalled: 0, connections: 0 };

/// The callers would wait for half a minute; the breaker does not.
#[test]
fn a_backend_that_hangs_is_opened_while_callers_still_wait() {
    let (mut caller, cgroup) = caller("hangs");
    let backend = backend(Behaviour::Healthy);
    let rules = r#"
trip = { without = ["consecutive"], failure_share = { at_least = 0.5, window = "10s" } }
open = { base = "10m", max = "10m" }
caller_timeout = "500ms"
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    // How soon it answers when it is well.
    assert_all_answered(&caller.call_many(backend.addr(), 4, PATIENCE).expect("it lives"));
    backend.set(Behaviour::Hang).expect("it lives");
    thread::scope(|scope| {
        let calls = scope.spawn(|| caller.storm(backend.addr(), 16, Duration::from_secs(30)));
        let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
        // Those that have waited for half a second when it is looked at, which may be a few fewer than all.
        let known = (12..=16).map(|late| format!("{late} of {} attempts failed", late + 4));
        assert!(known.into_iter().any(|known| why.contains(&known)), "{why}");
        let waiting = daemon.breaker(backend.addr()).expect("it has one").in_flight;
        assert_eq!((waiting.waiting, waiting.connections), (16, 16), "all still wait");
        // Ends the wait: every connection is reset.
        backend.set(Behaviour::Refuse).expect("it lives");
        calls.join().expect("no panic").expect("it lives");
    });
    wait_until(&daemon, backend.addr(), |breaker| breaker.in_flight == NOTHING);
}

/// Two retransmission timers are enough, whatever the caller's patience.
#[test]
fn a_black_hole_is_opened_after_two_timers() {
    let (mut caller, cgroup) = caller("silent");
    let backend = backend(Behaviour::Blackhole);
    let rules = format!("{LASTING}caller_timeout = \"25s\"");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], &rules)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let wire = SynCounter::on_loopback(backend.addr().port()).expect("root may count packets");
    thread::scope(|scope| {
        let calls = scope.spawn(|| caller.storm(backend.addr(), 3, Duration::from_secs(30)));
        let why = events.wait_for_state(backend.addr(), "open").expect("it opens");
        assert!(why.starts_with("3 failures in a row"), "{why}");
        let syns = wire.count().expect("the counter lives");
        assert!((8..=9).contains(&syns), "{syns} SYNs: the second retransmissions of three");
        let in_flight = daemon.breaker(backend.addr()).expect("it has one").in_flight;
        assert_eq!((in_flight.connecting, in_flight.stalled), (3, 3));
        backend.set(Behaviour::Refuse).expect("it lives");
        calls.join().expect("no panic").expect("it lives");
    });
    wait_until(&daemon, backend.addr(), |breaker| breaker.in_flight == NOTHING);
}

/// A queue's client waits for news, not for an answer: nobody knows when one is due.
#[test]
fn waiting_for_news_is_no_failure() {
    let (mut caller, cgroup) = caller("news");
    let backend = backend(Behaviour::Slow(Duration::from_secs(2)));
    let rules = r#"
trip = { consecutive = 3 }
caller_timeout = "300ms"
"#;
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], rules)).expect("it starts");
    assert_all_answered(&caller.storm(backend.addr(), 8, PATIENCE).expect("it lives"));
    let breaker = daemon.breaker(backend.addr()).expect("it has one");
    assert_eq!((breaker.state.as_str(), breaker.window.failures), ("closed", 0));
}

/// Whatever becomes of a connection, its end takes back what its beginning counted.
#[test]
fn a_hundred_thousand_random_lives_end_at_zero() {
    let behaviours = [
        Behaviour::Healthy,
        Behaviour::Hang,
        Behaviour::ResetAfterAccept,
        Behaviour::CloseAfterAccept,
        Behaviour::Refuse,
    ];
    let backends: Vec<_> = behaviours.map(backend).into_iter().collect();
    let addrs: Vec<SocketAddr> = backends.iter().map(Backend::addr).collect();
    let (mut first, first_cgroup) = caller("lives-1");
    let (mut second, second_cgroup) = caller("lives-2");
    let callers = [("one", &first_cgroup), ("two", &second_cgroup)];
    let daemon = Daemon::start(&policy_for(&callers, &addrs, WATCH)).expect("it starts");
    thread::scope(|scope| {
        let lives = scope.spawn(|| first.live(&addrs, 50_000, 1).expect("it lives"));
        second.live(&addrs, 50_000, 2).expect("it lives");
        lives.join().expect("no panic");
    });
    // The last of them end with their processes.
    drop((first, second));
    for _ in 0..2_000 {
        let status = daemon.status().expect("it answers");
        let in_flight: Vec<_> = status.breakers.iter().map(|breaker| breaker.in_flight).collect();
        let connects: u64 = status.breakers.iter().map(|breaker| breaker.allowed_total).sum();
        assert!((90_000..=100_000).contains(&connects), "{connects}");
        if in_flight == [NOTHING; 10] {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{:?}", daemon.status().expect("it answers").breakers);
}
