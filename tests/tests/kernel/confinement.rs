//! What a daemon may still do once it guards, as the kernel says it, and that it is enough.

use std::fs;
use std::os::unix::fs::symlink;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, open, policy};

/// One thread of a daemon, as /proc shows it.
struct Thread {
    name: String,
    status: String,
}

impl Thread {
    fn all_of(daemon: &Daemon) -> Vec<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it lives");
        let read = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).expect("it lives");
            let name = fs::read_to_string(task.path().join("comm")).expect("it lives");
            Self { name: name.trim_end().to_owned(), status }
        };
        tasks.map(|task| read(task.expect("readable"))).collect()
    }

    fn field(&self, name: &str) -> &str {
        let line = self.status.lines().find_map(|line| line.strip_prefix(name));
        line.expect(&self.status).trim()
    }
}

/// Whoever takes a thread over has little of what root has, and its children no more.
#[test]
fn each_thread_keeps_only_the_capabilities_its_work_takes() {
    let (_caller, cgroup) = caller("humble");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let threads = Thread::all_of(&daemon);
    for thread in &threads {
        let kept = match thread.name.as_str() {
            // chown.
            "journal" => "0000000000000001",
            // sys_ptrace, sys_admin, net_admin.
            "outpost" => "0000000000281000",
            // dac_read_search, net_admin, bpf: what talks to clients, and what that starts.
            _ => "0000008000001004",
        };
        let sets = [thread.field("CapEff:"), thread.field("CapPrm:")];
        assert_eq!(sets, [kept; 2], "{}", thread.name);
        // Before it attached: and chown, net_bind_service, sys_ptrace, sys_admin, perfmon.
        assert_eq!(thread.field("CapBnd:"), "000000c000281405");
        let none = "0000000000000000";
        assert_eq!([thread.field("CapInh:"), thread.field("CapAmb:")], [none; 2]);
        assert_eq!(thread.field("NoNewPrivs:"), "1");
    }
    for name in ["journal", "outpost"] {
        assert!(threads.iter().any(|thread| thread.name == name), "{name}");
    }
}

/// The filter itself, which refuses to start programs and more, is tried by `filter::tests`.
#[test]
fn calls_of_every_thread_are_filtered() {
    let (_caller, cgroup) = caller("filtered");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    for thread in Thread::all_of(&daemon) {
        assert_eq!(thread.field("Seccomp:"), "2", "{}", thread.name);
        assert_eq!(thread.field("Seccomp_filters:"), "2", "{}", thread.name);
    }
    assert!(!daemon.log().contains("not fenced"), "{}", daemon.log());
}

/// A policy file that moves out of the daemon's reach is told of, one that moves within is taken up.
#[test]
fn a_policy_file_is_read_within_reach_only() {
    let (mut caller, cgroup) = caller("fenced");
    let backend = backend(Behaviour::Refuse);
    let text = "[node]\nwatch = false\n".to_owned() + &policy(&cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let file = daemon.policy_file();
    let point_to = |target: &std::path::Path| {
        let new = file.with_extension("new");
        symlink(target, &new).expect("it is ours");
        fs::rename(new, &file).expect("it is ours");
    };
    let elsewhere = tempfile::tempdir().expect("a directory");
    let beyond = elsewhere.path().join("policy.toml");
    fs::write(&beyond, text.replace("consecutive = 3", "consecutive = 4")).expect("it is ours");
    point_to(&beyond);
    let output = daemon.command(&["reload"]).expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Permission denied") && said.contains("restart it"), "{said}");
    drop(open(&daemon, &mut caller, backend.addr()));

    let within = file.with_file_name("versions/2");
    fs::create_dir_all(within.parent().expect("it has one")).expect("it is ours");
    fs::copy(&beyond, &within).expect("it is ours");
    fs::remove_file(&file).expect("it is ours");
    point_to(&within);
    daemon.succeed(&["reload"]).expect("it is taken up");
    backend.set(Behaviour::Healthy).expect("it lives");
    daemon.succeed(&["reset", &backend.addr().to_string()]).expect("root");
    assert_all_answered(&caller.call_many(backend.addr(), 3, PATIENCE).expect("it lives"));
}

/// As with `ProtectControlGroups=` of the unit.
#[test]
fn cgroups_need_only_be_read() {
    let (mut caller, cgroup) = caller("read-only");
    let backend = backend(Behaviour::Refuse);
    let text = policy(&cgroup, &[backend.addr()], LASTING);
    let mount = shedder_tests::cgroup::mount_point().expect("there are cgroups");
    let mount = mount.display();
    let protect = format!("mount --bind {mount} {mount} && mount -o remount,bind,ro {mount}");
    let script = format!("{protect} && exec \"$@\"");
    let through = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let daemon = Daemon::start_through(&through, &text, &[]).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
}

/// The unit leaves it what it takes until it is attached, and filters what the daemon filters by itself.
#[test]
fn the_unit_bounds_it_to_the_same() {
    let unit = include_str!("../../../deploy/systemd/shedder.service");
    let setting = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} in the unit"))
    };
    let mut bounds: Vec<&str> = setting("CapabilityBoundingSet").split(' ').collect();
    bounds.sort_unstable();
    assert_eq!(
        bounds,
        [
            "CAP_BPF",
            "CAP_CHOWN",
            "CAP_DAC_READ_SEARCH",
            "CAP_NET_ADMIN",
            "CAP_NET_BIND_SERVICE",
            "CAP_PERFMON",
            "CAP_SYS_ADMIN",
            "CAP_SYS_PTRACE",
        ]
    );
    // The daemon makes its own fence and filter.
    let calls = setting("SystemCallFilter");
    for call in ["bpf", "setns", "landlock_restrict_self", "seccomp"] {
        assert!(calls.split(' ').any(|it| it == call), "{call} in {calls}");
    }
    assert_eq!(setting("RestrictAddressFamilies"), "AF_UNIX AF_INET AF_INET6 AF_NETLINK");
    assert_eq!(setting("NoNewPrivileges"), "yes");
}
