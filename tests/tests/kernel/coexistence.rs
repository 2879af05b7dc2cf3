//! Programs of others on the same cgroup, around it and inside it go on working, and so does shedder; who
//! runs first decides what each sees, and the last word is the one documented.

mod attaching;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;
use shedder_tests::foreign::{Foreign, Mode, Program};

use crate::scene::{LASTING, PATIENCE, WATCH, assert_all_answered, backend, delaying, policy};

/// A guarded cgroup, one around it and one inside, in which the caller is.
struct Family {
    outer: Cgroup,
    guarded: Cgroup,
    inner: Cgroup,
}

/// Where another program is attached, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    SameBefore,
    SameAfter,
    Outer,
    Inner,
}

impl Family {
    fn new(label: &str) -> Self {
        let outer = Cgroup::new(label).expect("a cgroup can be made: run as root");
        let guarded = outer.child("guarded").expect("a cgroup");
        let inner = guarded.child("inner").expect("a cgroup");
        Self { outer, guarded, inner }
    }

    fn caller(&self) -> Caller {
        Caller::spawn(&self.inner).expect("a caller starts")
    }

    /// A daemon that guards it, beside another program.
    fn guard(&self, text: &str, program: Program, place: Place) -> (Daemon, Foreign) {
        let cgroup = match place {
            Place::SameBefore | Place::SameAfter => &self.guarded,
            Place::Outer => &self.outer,
            Place::Inner => &self.inner,
        };
        let attach = || Foreign::attach(cgroup, program, Mode::Link).expect("it is attached");
        let start = || Daemon::start(text).expect("it starts");
        if place == Place::SameAfter {
            let daemon = start();
            (daemon, attach())
        } else {
            let foreign = attach();
            (start(), foreign)
        }
    }
}

impl Place {
    const ALL: [Self; 4] = [Self::SameBefore, Self::SameAfter, Self::Outer, Self::Inner];

    /// Cgroups inside come first, and in one cgroup who was first.
    fn runs_before_ours(self) -> bool {
        matches!(self, Self::SameBefore | Self::Inner)
    }
}

/// Both refuse, wherever the other is, and what it refuses is nobody's failure. The error number is that
/// of the last who sets one.
#[test]
fn the_refusals_of_another_breaker_hold_beside_ours() {
    let backends = [(); 4].map(|()| backend(Behaviour::Healthy));
    let [theirs, ours, both, well] = backends.each_ref().map(Backend::addr);
    for place in Place::ALL {
        let family = Family::new("breakers");
        let mut caller = family.caller();
        let rules = LASTING.replace("open = {", "open = { errno = \"EHOSTUNREACH\",");
        let text = policy(&family.guarded, &[theirs, ours, both, well], &rules);
        let deny = |port| Program::Deny { port, errno: Some(libc::EACCES) };
        let (daemon, foreign) = family.guard(&text, deny(theirs.port()), place);
        daemon.succeed(&["trip", &ours.to_string()]).expect("root may");
        let mut errno =
            |at| caller.call(at, PATIENCE).expect("it lives").connect_errno().unwrap_or_default();
        for _ in 0..5 {
            assert_eq!(errno(theirs), libc::EACCES, "{place:?}");
        }
        assert_eq!((errno(ours), errno(well)), (libc::EHOSTUNREACH, 0), "{place:?}");
        let breaker = daemon.breaker(theirs).expect("it has one");
        assert_eq!((breaker.state.as_str(), breaker.window.failures), ("closed", 0), "{place:?}");

        daemon.succeed(&["trip", &theirs.to_string()]).expect("root may");
        assert_eq!(errno(theirs), libc::EACCES, "{place:?}: who sets one last, or at all first");
        drop(foreign);
        assert_eq!(errno(theirs), libc::EHOSTUNREACH, "{place:?}");

        // Most breakers set no number; then ours stands, if it is ours that refused.
        let silent = Program::Deny { port: both.port(), errno: None };
        let foreign = Foreign::attach(&family.outer, silent, Mode::Multi).expect("attached");
        assert_eq!(errno(both), libc::EPERM);
        daemon.succeed(&["trip", &both.to_string()]).expect("root may");
        assert_eq!(errno(both), libc::EHOSTUNREACH);
        drop(foreign);
    }
    assert_eq!(backends.map(|backend| backend.accepted()), [0, 0, 0, 4]);
}

/// The same for IPv6, where programs are others.
#[test]
fn another_breaker_for_ipv6_holds_beside_ours() {
    let family = Family::new("breakers6");
    let mut caller = family.caller();
    let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let backends = [(); 2].map(|()| Backend::start(local, Behaviour::Healthy).expect("::1"));
    let [theirs, ours] = backends.each_ref().map(Backend::addr);
    let text = policy(&family.guarded, &[theirs, ours], LASTING);
    let deny = Program::Deny6 { port: theirs.port() };
    let (daemon, _foreign) = family.guard(&text, deny, Place::SameAfter);
    daemon.succeed(&["trip", &ours.to_string()]).expect("root may");
    let mut errno = |at| caller.call(at, PATIENCE).expect("it lives").connect_errno();
    assert_eq!((errno(theirs), errno(ours)), (Some(libc::EPERM), Some(libc::ECONNREFUSED)));
}

/// A balancer that runs after shedder leaves it the service's address, one that runs before the
/// backend's; there the evidence lands, and there the breaker opens.
#[test]
fn evidence_lands_at_the_address_that_is_seen_when_ours_runs() {
    for place in Place::ALL {
        let family = Family::new("balanced");
        let mut caller = family.caller();
        let backend = backend(Behaviour::Healthy);
        let service = SocketAddr::from((SERVICE, backend.addr().port()));
        let text = policy(&family.guarded, &[service, backend.addr()], LASTING);
        let balance = Program::Balance { from: v4(service), to: v4(backend.addr()) };
        let (daemon, _foreign) = family.guard(&text, balance, place);
        let (seen, unseen) = if place.runs_before_ours() {
            (backend.addr(), service)
        } else {
            (service, backend.addr())
        };

        let calls = caller.call_many(service, 5, PATIENCE).expect("it lives");
        assert_all_answered(&calls);
        assert!(
            calls.iter().all(|call| call.peer == Some(backend.addr())),
            "{place:?}: as without us"
        );
        backend.set(Behaviour::Refuse).expect("it lives");
        let events = daemon.events().expect("it answers");
        caller.call_many(service, 3, PATIENCE).expect("it lives");
        events.wait_for_state(seen, "open").expect("it opens");
        backend.set(Behaviour::Healthy).expect("it lives");
        let refused = caller.call(service, PATIENCE).expect("it lives");
        assert_eq!(refused.connect_errno(), Some(libc::ECONNREFUSED), "{place:?}");
        let [seen, unseen] = [seen, unseen].map(|at| daemon.breaker(at).expect("it has one"));
        assert_eq!((seen.allowed_total, seen.shed_total), (8, 1), "{place:?}");
        assert_eq!((seen.outcomes.answered, seen.outcomes.refused), (5, 3), "{place:?}");
        assert_eq!((unseen.allowed_total, unseen.shed_total), (0, 0), "{place:?}");
    }
}

/// What runs after shedder sees where it sends a connect, and may send it on or refuse it; what runs before sees what
/// was asked for.
#[test]
fn a_redirect_is_what_later_programs_see() {
    for place in Place::ALL {
        let family = Family::new("redirected");
        let mut caller = family.caller();
        let backends = [(); 2].map(|()| backend(Behaviour::Healthy));
        let [asked, sibling] = backends.each_ref().map(Backend::addr);
        let rules = format!("{WATCH}open.action = \"redirect\"");
        let text = policy(&family.guarded, &[asked, sibling], &rules);
        let deny = Program::Deny { port: sibling.port(), errno: Some(libc::EACCES) };
        let (daemon, foreign) = family.guard(&text, deny, place);
        daemon.succeed(&["trip", &asked.to_string()]).expect("root may");

        let call = caller.call(asked, PATIENCE).expect("it lives");
        if place.runs_before_ours() {
            assert_all_answered(&[call]);
            assert_eq!(backends[1].accepted(), 1, "{place:?}");
        } else {
            assert_eq!(call.connect_errno(), Some(libc::EACCES), "{place:?}");
            assert_eq!(backends[1].accepted(), 0, "{place:?}");
        }
        // Who asks for a peer is shown the one it asked for.
        drop(foreign);
        let call = caller.call(asked, PATIENCE).expect("it lives");
        assert_eq!((call.peer, call.failure), (Some(asked), None), "{place:?}");
    }
}

/// What systemd's `IPAddressDeny` does: packets are dropped both ways. Callers see timeouts, so does shedder, and the
/// firewall stands after shedder has gone.
#[test]
fn what_a_firewall_of_the_cgroup_drops_opens_the_breaker_and_stays_dropped() {
    for is_first in [true, false] {
        let family = Family::new("firewall");
        let mut caller = family.caller();
        let denied = Backend::start(IpAddr::V4(SERVICE), Behaviour::Healthy).expect("127/8");
        let allowed = backend(Behaviour::Healthy);
        let rules = format!("{LASTING}caller_timeout = \"200ms\"");
        let text = policy(&family.guarded, &[denied.addr(), allowed.addr()], &rules);
        let attach = |program| {
            Foreign::attach(&family.guarded, program, Mode::Multi).expect("it is attached")
        };
        let deny = || [Program::DropTo(SERVICE), Program::DropFrom(SERVICE)].map(attach);
        let before = is_first.then(deny);
        let mut daemon = Daemon::start(&text).expect("it starts");
        let _firewall = before.unwrap_or_else(deny);

        let events = daemon.events().expect("it answers");
        let patience = Duration::from_millis(250);
        for call in caller.call_many(denied.addr(), 3, patience).expect("it lives") {
            assert!(call.timed_out(), "{call:?}");
        }
        events.wait_for_state(denied.addr(), "open").expect("it opens");
        let refused = caller.call(denied.addr(), patience).expect("it lives");
        assert_eq!(refused.connect_errno(), Some(libc::ECONNREFUSED));
        assert_all_answered(&caller.call_many(allowed.addr(), 5, PATIENCE).expect("it lives"));

        daemon.signal(libc::SIGTERM);
        daemon.wait().expect("it ends");
        assert!(caller.call(denied.addr(), patience).expect("it lives").timed_out());
        assert_eq!(denied.accepted(), 0);
    }
}

/// A hold lasts as configured beside a tuner that leaves the timer alone or had its word before. One that
/// sets it later, or answers for all by returning zero, makes it longer. No connect is lost.
#[test]
fn another_tuner_makes_a_hold_longer_at_most() {
    let timer = |jiffies, returns| Program::SynTimer { jiffies, returns };
    for (program, place, is_longer) in [
        (timer(None, 1), Place::SameAfter, false),
        (timer(Some(500), 1), Place::SameBefore, false),
        (timer(Some(500), 1), Place::Inner, false),
        (timer(Some(500), 1), Place::SameAfter, true),
        (timer(Some(500), 1), Place::Outer, true),
        (timer(None, 0), Place::SameBefore, true),
    ] {
        let family = Family::new("tuned");
        let mut caller = family.caller();
        let backend = backend(Behaviour::Healthy);
        let daemon = delaying(&family.guarded, backend.addr(), "100ms");
        // Attached last, or else the daemon is started again behind it.
        let (_daemon, _foreign) = if place == Place::SameAfter || place == Place::Outer {
            let cgroup = if place == Place::Outer { &family.outer } else { &family.guarded };
            (daemon, Foreign::attach(cgroup, program, Mode::Link).expect("it is attached"))
        } else {
            drop(daemon);
            let cgroup = if place == Place::Inner { &family.inner } else { &family.guarded };
            let foreign = Foreign::attach(cgroup, program, Mode::Link).expect("it is attached");
            (delaying(&family.guarded, backend.addr(), "100ms"), foreign)
        };
        let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
        assert!(call.answered(), "{call:?}");
        let what = format!("{program:?} {place:?}: {} us", call.connect_us);
        assert!(call.connect_us >= 90_000, "{what}");
        assert_eq!(call.connect_us >= 950_000, is_longer, "{what}");
    }
}

fn v4(addr: SocketAddr) -> SocketAddrV4 {
    match addr {
        SocketAddr::V4(addr) => addr,
        SocketAddr::V6(_) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
    }
}

/// A loopback address that is not [`LOCALHOST`].
const SERVICE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
