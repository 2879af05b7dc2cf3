//! From observing to enforcing, by a growing share of a caller's cgroups.

use std::net::SocketAddr;

use shedder_tests::backend::Behaviour;
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::Daemon;

use crate::reload::{UNWATCHED, reload};
use crate::scene::{LASTING, PATIENCE, backend, caller, open, policy};

/// One caller in several cgroups.
pub(crate) struct Crowd {
    /// In order of their cohorts once [`Crowd::sort`] knows them.
    pub(crate) callers: Vec<(Caller, Cgroup)>,
}

impl Crowd {
    /// Enough of them for two that are not of the same cohort.
    pub(crate) fn new(label: &str) -> Self {
        Self { callers: (0..4).map(|number| caller(&format!("{label}-{number}"))).collect() }
    }

    /// As [`policy`], for all of them.
    pub(crate) fn policy(&self, endpoint: SocketAddr, rules: &str) -> String {
        let (_, first) = self.callers.first().expect("there are some");
        let names: Vec<&str> = self.callers.iter().map(|(_, cgroup)| cgroup.name()).collect();
        let one = format!("{:?}", [first.name()]);
        let text = policy(first, &[endpoint], rules).replace(&one, &format!("{names:?}"));
        format!("{UNWATCHED}{text}")
    }

    /// Sorts them by what the daemon says; a percentage that takes in the first and not the last.
    pub(crate) fn sort(&mut self, daemon: &Daemon) -> u8 {
        let cgroups = daemon.status().expect("it answers").node.cgroups;
        let cohort = |cgroup: &Cgroup| {
            let known = cgroups.iter().find(|known| known.path == cgroup.name());
            known.expect("it is guarded").cohort
        };
        self.callers.sort_by_key(|(_, cgroup)| cohort(cgroup));
        let (first, last) = self.ends();
        assert!(cohort(&first.1) < cohort(&last.1), "of four, two differ");
        let percent = u8::try_from(cohort(&self.ends().1.1)).expect("less than a hundred");
        assert!(self.callers.iter().all(|(_, cgroup)| cohort(cgroup) < 100));
        percent
    }

    /// The first and the last.
    pub(crate) fn ends(&mut self) -> (&mut (Caller, Cgroup), &mut (Caller, Cgroup)) {
        let (first, rest) = self.callers.split_first_mut().expect("there are some");
        (first, rest.last_mut().expect("there are more"))
    }
}

fn observing(text: &str) -> String {
    text.replace("\"enforce\"", "\"observe\"")
}

pub(crate) fn partly(text: &str, percent: u8) -> String {
    text.replace("\"enforce\"", &format!("\"enforce\"\nenforce_percent = {percent}"))
}

#[test]
fn a_policy_is_taken_from_observing_to_enforcing_cgroup_by_cgroup() {
    let mut crowd = Crowd::new("rollout");
    let backend = backend(Behaviour::Refuse);
    let enforcing = crowd.policy(backend.addr(), LASTING);
    let daemon = Daemon::start(&observing(&enforcing)).expect("it starts");
    let percent = crowd.sort(&daemon);
    drop(open(&daemon, &mut crowd.ends().0.0, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    let mut counts = Vec::new();
    let mut round = |first_is_shed: bool, last_is_shed: bool| {
        let (first, last) = crowd.ends();
        for (caller, is_shed) in [(&mut first.0, first_is_shed), (&mut last.0, last_is_shed)] {
            let calls = caller.call_many(backend.addr(), 20, PATIENCE).expect("it lives");
            let refused =
                calls.iter().filter(|call| call.connect_errno() == Some(libc::ECONNREFUSED));
            assert_eq!(refused.count(), if is_shed { 20 } else { 0 });
        }
        let breaker = daemon.breaker(backend.addr()).expect("it has one");
        counts.push((breaker.enforce_percent, breaker.shed_total, breaker.would_shed_total));
    };
    let status = || daemon.succeed(&["status"]).expect("it answers");

    round(false, false);
    assert!(
        status().contains("policy app:db only observes: enforcing would have shed 40 of 43 connects so far, to 1 of 1 endpoints"),
        "{}", status()
    );
    let said = reload(&daemon, &partly(&enforcing, percent));
    assert_eq!(
        said.changes,
        [
            "policy app:db: mode observe -> enforce".to_owned(),
            format!("policy app:db: enforce_percent 100 -> {percent}")
        ]
    );
    round(true, false);
    let said = status();
    assert!(said.contains(&format!("of 4 cgroups (enforce_percent = {percent}): 20 of 83 connects were shed so far; for every cgroup it would have been 80")), "{said}");
    let why = daemon.succeed(&["explain", &backend.addr().to_string()]).expect("it answers");
    assert!(why.contains(&format!("of the caller's 4 cgroups, by enforce_percent = {percent}, connect() fails at once with ECONNREFUSED; for the others every connect goes through")), "{why}");

    reload(&daemon, &enforcing);
    round(true, true);
    assert!(!status().contains("note: policy"), "{}", status());
    reload(&daemon, &observing(&enforcing));
    round(false, false);
    assert_eq!(counts, [(0, 0, 40), (percent, 20, 80), (100, 60, 120), (0, 60, 160)]);
}

/// What enforcing would have shed is the same number whatever was done about it: here through a
/// half-open breaker with one token, which either takes.
#[test]
fn what_would_be_shed_is_counted_alike_in_every_mode() {
    let rules = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "100ms", max = "100ms", jitter = 0.0 }
half_open = { tokens = 1, successes = 1, deadline = "10m" }
caller_timeout = "1m"
"#;
    let would_shed = [None, Some(0), Some(100)].map(|share| {
        let mut crowd = Crowd::new("alike");
        let backend = backend(Behaviour::Refuse);
        let enforcing = crowd.policy(backend.addr(), rules);
        let daemon = Daemon::start(&observing(&enforcing)).expect("it starts");
        let percent = crowd.sort(&daemon);
        match share {
            None => {}
            Some(0) => drop(reload(&daemon, &partly(&enforcing, percent))),
            Some(_) => drop(reload(&daemon, &enforcing)),
        }
        let events = open(&daemon, &mut crowd.ends().0.0, backend.addr());
        events.wait_for_state(backend.addr(), "half_open").expect("its time comes");
        backend.set(Behaviour::Hang).expect("it lives");
        // The only probe gets no answer, so nothing changes from then on.
        let (first, last) = crowd.ends();
        let probe = first.0.open(backend.addr(), PATIENCE).expect("it is let through");
        let waiting = first.0.request(probe, std::time::Duration::from_millis(1));
        assert!(waiting.expect("it lives").timed_out());
        let options = shedder_tests::caller::ConnectOptions::default();
        for caller in [&mut first.0, &mut last.0] {
            for _ in 0..10 {
                caller.connect(backend.addr(), &options).expect("it lives");
            }
        }
        daemon.breaker(backend.addr()).expect("it has one").would_shed_total
    });
    assert_eq!(would_shed, [20; 3]);
}

#[test]
fn a_percentage_out_of_range_is_refused_where_it_stands() {
    let crowd = Crowd::new("range");
    let backend = backend(Behaviour::Healthy);
    let enforcing = crowd.policy(backend.addr(), LASTING);
    let daemon = Daemon::start(&enforcing).expect("it starts");
    for percent in [0, 101] {
        crate::reload::write(&daemon, &partly(&enforcing, percent));
        let output = daemon.command(&["reload"]).expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(said.contains("enforce_percent goes from 1 to 100"), "{said}");
    }
}
