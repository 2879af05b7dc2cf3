//! The unit that is shipped, under a real systemd: all of its confinement holds, and what it says happens.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::Caller;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::systemd::Systemd;
use shedder_user::api::model::Status;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, policy, wait_for};

#[test]
fn the_shipped_unit_is_started_reloaded_restarted_watched_and_taken_out() {
    let machine = Cgroup::new("systemd").expect("a cgroup can be made: run as root");
    let cgroup = machine.child("web").expect("a cgroup can be made");
    let mut caller = Caller::spawn(&cgroup).expect("a caller starts");
    let backend = backend(Behaviour::Refuse);
    // As it is called in there.
    let text = policy(&cgroup, &[backend.addr()], LASTING).replace(cgroup.name(), "/web");
    let systemd = Systemd::boot(&machine, &shipped(), &text).expect("systemd boots");

    systemd.succeed(&["systemctl", "start", "shedder"]).expect("it says that it is ready");
    assert_eq!(
        systemd.property("StatusText").expect("it is told"),
        "cgroups guarded: 1, endpoints: 1"
    );
    let main = systemd.property("MainPID").expect("it is told");
    let status = systemd.succeed(&["cat", &format!("/proc/{main}/status")]).expect("it runs");
    for confinement in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(confinement), "{confinement} is missing: {status}");
    }

    caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives");
    wait_for("it opens", || state(&systemd) == "open");
    backend.set(Behaviour::Healthy).expect("it lives");
    for order in ["reload", "restart"] {
        systemd.succeed(&["systemctl", order, "shedder"]).expect("it does");
        let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
        assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "after {order}");
        assert_eq!(state(&systemd), "open", "after {order}");
    }

    assert_eq!(systemd.property("NRestarts").expect("it is told"), "0");
    systemd.succeed(&["systemctl", "kill", "--signal=STOP", "shedder"]).expect("it stops");
    wait_for("the watchdog starts another", || {
        systemd.property("NRestarts").expect("it is told") == "1"
            && systemd.property("ActiveState").expect("it is told") == "active"
    });
    assert_eq!(state(&systemd), "open", "it goes on where the one before was");

    systemd.succeed(&["systemctl", "stop", "shedder"]).expect("it stops");
    systemd.succeed(&["shedder", "detach"]).expect("it detaches");
    assert_all_answered(&caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives"));
}

/// What `IPAddressDeny` drops is evidence like any silence, and stays dropped whatever shedder does.
#[test]
fn addresses_that_systemd_denies_to_a_unit_stay_denied() {
    let machine = Cgroup::new("denied").expect("a cgroup can be made: run as root");
    let denied_address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    let denied = Backend::start(denied_address, Behaviour::Healthy).expect("a backend starts");
    let allowed = backend(Behaviour::Healthy);
    let rules = format!("{LASTING}caller_timeout = \"200ms\"");
    let text = policy(&machine, &[denied.addr(), allowed.addr()], &rules)
        .replace(machine.name(), "/system.slice/app*.service");
    let systemd = Systemd::boot(&machine, &shipped(), &text).expect("systemd boots");
    systemd.succeed(&["systemctl", "start", "shedder"]).expect("it says that it is ready");
    let deny = format!("--property=IPAddressDeny={denied_address}");
    systemd.succeed(&["systemd-run", "--unit=app", &deny, "sleep", "1000"]).expect("it runs");
    wait_for("the unit is guarded", || !status(&systemd).node.cgroups.is_empty());

    let mut caller = Caller::spawn(&machine).expect("a caller starts");
    let members = machine.path().join("system.slice/app.service/cgroup.procs");
    fs::write(members, caller.pid().to_string()).expect("it joins the unit");
    let mut ask = |backend: &Backend| caller.call(backend.addr(), TIMEOUT).expect("it lives");
    for _ in 0..3 {
        assert!(ask(&denied).timed_out(), "nothing comes back");
        assert!(ask(&allowed).answered());
    }
    wait_for("its silence opens it", || ask(&denied).connect_errno() == Some(libc::ECONNREFUSED));
    assert!(ask(&allowed).answered());
    systemd.succeed(&["systemctl", "stop", "shedder"]).expect("it stops");
    systemd.succeed(&["shedder", "detach"]).expect("it detaches");
    assert!(ask(&denied).timed_out(), "systemd's programs are as they were");
    assert!(ask(&allowed).answered());
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/shedder.service")
}

/// Of the one breaker.
fn state(systemd: &Systemd) -> String {
    status(systemd).breakers[0].state.clone()
}

fn status(systemd: &Systemd) -> Status {
    let said = systemd.succeed(&["shedder", "status", "--json"]).expect("it answers");
    serde_json::from_str(&said).expect("it is a status")
}

/// Longer than the policy's `caller_timeout`, shorter than it takes the kernel to send a SYN again.
const TIMEOUT: Duration = Duration::from_millis(500);
