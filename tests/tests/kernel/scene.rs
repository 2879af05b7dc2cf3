//! What every test begins with: a cgroup, a caller in it, and a policy about some endpoints.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Call, Caller};
use shedder_tests::cgroup::Cgroup;

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Long enough for anything that is going to happen at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Trips after three failures, probes soon, recovers within a second.
pub(crate) const QUICK: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "500ms", max = "8s", jitter = 0.0 }
recovery = { ramp = "1s", from = 0.2 }
"#;

/// As [`QUICK`], but once open it stays open for the length of any test.
pub(crate) const LASTING: &str = r#"
trip = { consecutive = 3, without = ["failure_share"] }
open = { base = "10m", max = "10m", jitter = 0.0 }
"#;

/// A caller with a cgroup of its own; the cgroup must outlive the caller's last call.
pub(crate) fn caller(label: &str) -> (Caller, Cgroup) {
    let cgroup = Cgroup::new(label).expect("a cgroup can be made: run as root");
    let caller = Caller::spawn(&cgroup).expect("a caller starts");
    (caller, cgroup)
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
    let mut text = format!("[[service]]\nname = \"db\"\nendpoints = {endpoints:?}\n");
    for (name, cgroup) in callers {
        let path = cgroup.name();
        text.push_str(&format!(
            "[[caller]]\nname = \"{name}\"\ncgroups = [\"{path}\"]\n[[policy]]\ncaller = \"{name}\"\nservice = \"db\"\nmode = \"enforce\"\n{rules}\n"
        ));
    }
    text
}

/// Calls until one is refused by the verdict, which must be within `most` calls; the failures
/// before it.
pub(crate) fn call_until_shed(caller: &mut Caller, backend: &Backend, most: u32) -> u32 {
    for failed in 0..=most {
        let accepted = backend.accepted();
        let call = caller.call(backend.addr(), PATIENCE).expect("the caller lives");
        let is_shed = call.connect_errno() == Some(libc::ECONNREFUSED)
            && backend.accepted() == accepted
            && call.connect_us < 1_000_000;
        if is_shed {
            return failed;
        }
    }
    panic!("not shed after {most} calls");
}

/// Asserts that every call got its answer.
pub(crate) fn assert_all_answered(calls: &[Call]) {
    let failed: Vec<String> =
        calls.iter().filter_map(|call| call.failure.as_ref().map(ToString::to_string)).collect();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), calls.len());
}
