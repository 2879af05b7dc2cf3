//! What every test begins with: a cgroup, a caller in it, and a policy about some endpoints.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use shedder_common::caller::CallerRow;
use shedder_common::map;
use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Call, Caller};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_tests::vitals::map_entries;
use shedder_user::api::model::Breaker;
use shedder_user::kernel::{Attachment, Cgroup2, Kernel, Needs};

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Long enough for anything that is going to happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Trips after three failures, and once open stays open for the length of any test.
pub(crate) const LASTING: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "10m", max = "10m", jitter = 0.0 }
"#;

/// A policy that never trips, so that evidence piles up.
pub(crate) const WATCH: &str = r#"
trip = { consecutive = 100000, without = ["failure_share"] }
caller_timeout = "300ms"
"#;

/// Each breaker goes its own way, whatever becomes of its group.
const ALONE: &str =
    r#"safety = { max_open_percent = 100, lone = "open", scope = "cell", false_refusals = 0 }"#;

/// A caller with a cgroup of its own; the cgroup must outlive the caller's last call.
pub(crate) fn caller(label: &str) -> (Caller, Cgroup) {
    let cgroup = Cgroup::new(label).expect("a cgroup can be made: run as root");
    let caller = Caller::spawn(&cgroup).expect("a caller starts");
    (caller, cgroup)
}

/// Attaches the programs to a caller's cgroup without a daemon.
pub(crate) fn attach(
    kernel: &mut Kernel,
    cgroup: &Cgroup,
    whose: CallerRow,
    needs: Needs,
) -> Attachment {
    let hierarchy = Cgroup2::find().expect("there is one");
    let guarded = hierarchy.guard(cgroup.name()).expect("nobody else guards it");
    kernel.attach(guarded, whose, needs, None).expect("root may attach them")
}

pub(crate) fn backend(behaviour: Behaviour) -> Backend {
    Backend::start(LOCALHOST, behaviour).expect("a backend starts")
}

/// An enforcing policy for the callers in `cgroup` and the service `db` at `endpoints`.
pub(crate) fn policy(cgroup: &Cgroup, endpoints: &[SocketAddr], rules: &str) -> String {
    policy_for(&[("app", cgroup)], endpoints, rules)
}

/// As [`policy`], for several callers.
pub(crate) fn policy_for(
    callers: &[(&str, &Cgroup)],
    endpoints: &[SocketAddr],
    rules: &str,
) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    let safety = if rules.contains("safety") { "" } else { ALONE };
    let mut text = format!("[[service]]\nname = \"db\"\nendpoints = {endpoints:?}\n");
    for (name, cgroup) in callers {
        let path = cgroup.name();
        write!(
            text,
            "[[caller]]\nname = \"{name}\"\ncgroups = [\"{path}\"]\n[[policy]]\ncaller = \"{name}\"\nservice = \"db\"\nmode = \"enforce\"\n{safety}\n{rules}\n"
        )
        .expect("to a string");
    }
    text
}

/// A daemon that never trips by itself and holds every connect to `endpoint` this long.
pub(crate) fn delaying(cgroup: &Cgroup, endpoint: SocketAddr, delay: &str) -> Daemon {
    let rules = format!("{WATCH}open = {{ action = \"delay\", delay = \"{delay}\" }}");
    let daemon = Daemon::start(&policy(cgroup, &[endpoint], &rules)).expect("it starts");
    daemon.succeed(&["trip", &endpoint.to_string()]).expect("root may trip");
    daemon
}

/// Makes three calls that fail and waits for the breaker to open; what happens from then on.
pub(crate) fn open(daemon: &Daemon, caller: &mut Caller, endpoint: SocketAddr) -> Events {
    let events = daemon.events().expect("it answers");
    caller.call_many(endpoint, 3, PATIENCE).expect("the caller lives");
    events.wait_for_state(endpoint, "open").expect("it opens");
    events
}

/// Waits for the window to hold this many attempts; how many of them failed.
#[expect(clippy::panic, reason = "a helper of tests fails as they do")]
pub(crate) fn failures(daemon: &Daemon, endpoint: SocketAddr, attempts: u64) -> u64 {
    for _ in 0..2_000 {
        let window = daemon.breaker(endpoint).expect("it has one").window;
        assert!(window.attempts <= attempts, "{window:?}");
        if window.attempts == attempts {
            return window.failures;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{:?}", daemon.breaker(endpoint));
}

/// Waits until a breaker is as `wanted` says; how it is then.
#[expect(clippy::panic, reason = "a helper of tests fails as they do")]
pub(crate) fn wait_until(
    daemon: &Daemon,
    endpoint: SocketAddr,
    wanted: impl Fn(&Breaker) -> bool,
) -> Breaker {
    let now = || daemon.breaker(endpoint).expect("it has one");
    for _ in 0..2_000 {
        let breaker = now();
        if wanted(&breaker) {
            return breaker;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{:?}", now());
}

/// Waits for something that no event tells of.
pub(crate) fn wait_for(what: &str, has_come: impl FnMut() -> bool) {
    wait_at_most(Duration::from_secs(5), what, has_come);
}

/// As [`wait_for`], for what takes longer.
pub(crate) fn wait_at_most(patience: Duration, what: &str, mut has_come: impl FnMut() -> bool) {
    for _ in 0..patience.as_millis() / 5 {
        if has_come() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(has_come(), "waited in vain: {what}");
}

/// Asserts that every call got its answer.
pub(crate) fn assert_all_answered(calls: &[Call]) {
    let failed: Vec<String> =
        calls.iter().filter_map(|call| call.failure.as_ref().map(ToString::to_string)).collect();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), calls.len());
}

/// Places for tags that are taken.
pub(crate) fn taken_places(daemon: &Daemon) -> usize {
    map_entries(daemon.pid()).expect("root may look")[map::TAGS]
}
