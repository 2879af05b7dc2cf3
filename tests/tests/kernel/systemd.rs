//! The unit that is shipped, under a real systemd: all of its confinement holds, and what it says happens.

use std::path::Path;

use shedder_tests::backend::Behaviour;
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
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/shedder.service");
    let systemd = Systemd::boot(&machine, &unit, &text).expect("systemd boots");

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

/// Of the one breaker.
fn state(systemd: &Systemd) -> String {
    let said = systemd.succeed(&["shedder", "status", "--json"]).expect("it answers");
    let status: Status = serde_json::from_str(&said).expect("it is a status");
    status.breakers[0].state.clone()
}
