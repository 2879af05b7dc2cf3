//! TCP Fast Open: a request that leaves with the SYN is one like any other.

use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Kind;
use shedder_tests::daemon::Daemon;
use shedder_user::api::model::Outcomes;

use crate::kinds::{Place, is_guarded};
use crate::scene::{PATIENCE, WATCH, assert_all_answered, delaying, failures, policy};

#[test]
fn a_request_sent_with_the_syn_is_guarded() {
    let place = is_guarded(&Kind::FastOpenSend);
    assert!(place.requests_with_syn() > 0);
}

#[test]
fn a_connect_that_waits_for_its_request_is_guarded() {
    let place = is_guarded(&Kind::FastOpenConnect);
    assert!(place.requests_with_syn() > 0);
}

/// Its answer is timed, and where there is none, that is not missed.
#[test]
fn a_request_sent_with_the_syn_is_timed() {
    let mut place = Place::new(&Kind::FastOpenSend);
    let endpoint = place.backend.addr();
    let daemon = Daemon::start(&policy(&place.cgroup, &[endpoint], WATCH)).expect("it starts");
    // The first call brings the cookie home.
    assert_all_answered(&place.call(1, PATIENCE));
    place.backend.set(Behaviour::Slow(SLOW)).expect("it lives");
    assert_all_answered(&place.call(4, PATIENCE));
    assert_eq!(place.requests_with_syn(), 4);
    assert_eq!(failures(&daemon, endpoint, 5), 0);
    let p50 = daemon.breaker(endpoint).expect("it has one").window.p50_us.expect("answers");
    assert!((46_500..PATIENT_US).contains(&p50), "{p50} us");

    // Without an answer to the SYN there was no request, however long the caller waited.
    place.backend.set(Behaviour::Blackhole).expect("it lives");
    assert!(place.call(1, PATIENT)[0].timed_out());
    assert_eq!(failures(&daemon, endpoint, 6), 1);
    let p99 = daemon.breaker(endpoint).expect("it has one").window.p99_us.expect("answers");
    assert!(p99 < PATIENT_US, "{p99} us");

    place.backend.set(Behaviour::Hang).expect("it lives");
    assert!(place.call(1, PATIENT)[0].timed_out());
    place.backend.set(Behaviour::CloseAfterAccept).expect("it lives");
    assert!(!place.call(1, PATIENCE)[0].answered());

    // A server that takes nothing with the SYN is sent the request again. It is the same one.
    place.backend.set(Behaviour::Healthy).expect("it lives");
    let before = place.requests_with_syn();
    place.net.set("ipv4/tcp_fastopen", CALLERS_ONLY).expect("root may");
    assert_all_answered(&place.call(1, PATIENCE));
    assert_eq!(place.requests_with_syn(), before);
    let outcomes = daemon.breaker(endpoint).expect("it has one").outcomes;
    let expected = Outcomes { answered: 6, timed_out: 2, hung_up: 1, ..Outcomes::default() };
    assert_eq!(outcomes, expected);
}

/// The SYN is held without its request, which follows when there is a connection.
#[test]
fn a_hold_of_a_request_sent_with_the_syn_delays_it() {
    let mut place = Place::new(&Kind::FastOpenSend);
    let endpoint = place.backend.addr();
    assert_all_answered(&place.call(1, PATIENCE));
    let daemon = delaying(&place.cgroup, endpoint, "120ms");
    for call in place.call(2, PATIENCE) {
        assert!(call.answered() && call.total_us >= 110_000, "{call:?}");
    }
    assert_eq!(place.wire.count().expect("it counts"), 3);
    let breaker = daemon.breaker(endpoint).expect("it has one");
    assert_eq!((breaker.shed_total, breaker.outcomes.answered), (2, 2));
}

/// A limit: with `TCP_FASTOPEN_CONNECT` the decision is that of the connect, though its SYN leaves
/// with the request, after the breaker has opened.
#[test]
fn a_connect_is_decided_when_it_is_called() {
    let mut place = Place::new(&Kind::FastOpenConnect);
    let endpoint = place.backend.addr();
    let daemon = Daemon::start(&policy(&place.cgroup, &[endpoint], WATCH)).expect("it starts");
    assert_all_answered(&place.call(1, PATIENCE));
    let socket = place.caller.prepare(&Kind::FastOpenConnect, endpoint).expect("it lives");
    let attempt = place.caller.connect_with(socket, endpoint, PATIENCE).expect("it lives");
    assert!(attempt.connected(), "{attempt:?}");
    assert_eq!(place.wire.count().expect("it counts"), 1, "no SYN but that of the first call");

    daemon.succeed(&["trip", &endpoint.to_string()]).expect("root may trip");
    assert!(place.caller.request(socket, PATIENCE).expect("it lives").answered());
    assert_eq!(place.wire.count().expect("it counts"), 2);
    let breaker = daemon.breaker(endpoint).expect("it has one");
    assert_eq!((breaker.allowed_total, breaker.shed_total), (2, 0));
}

const SLOW: Duration = Duration::from_millis(50);
/// Past the patience of [`WATCH`].
const PATIENT: Duration = Duration::from_millis(600);
const PATIENT_US: u64 = 600_000;
/// Servers take no data with the SYN.
const CALLERS_ONLY: &str = "1";
