//! What cannot work is refused in one line that names place and remedy, and nothing is left
//! attached.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use shedder_tests::backend::Behaviour;
use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, program};
use shedder_tests::program::copy_into;

use crate::scene::{LASTING, PATIENCE, assert_all_answered, backend, caller, policy, policy_for};

/// `shedder run` with this file, which must be refused.
fn run(directory: &Path, text: &str) -> Output {
    let file = directory.join("shedder.toml");
    fs::write(&file, text).expect("it is writable");
    Command::new(program().expect("it is built"))
        .args(["run", "--config"])
        .arg(&file)
        .arg("--socket")
        .arg(directory.join("shedder.sock"))
        .arg("--state-dir")
        .arg(directory.join("state"))
        .output()
        .expect("it runs")
}

/// Asserts one line on standard error with all of `parts`, exit code 1 and no socket.
fn assert_refused(directory: &Path, text: &str, parts: &[&str]) {
    let output = run(directory, text);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    assert!(!directory.join("shedder.sock").exists());
}

#[test]
fn a_bad_policy_is_refused_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let cgroup = Cgroup::new("bad").expect("a cgroup");
    let good = policy(&cgroup, &["127.0.0.1:9".parse().expect("an address")], LASTING);
    for (from, to, part) in [
        ("[[service]]", "[[service]", "shedder.toml:1:"),
        ("trip =", "tirp =", "unknown field `tirp`"),
        ("mode =", "preset = \"fastest\"\nmode =", "is no preset"),
        ("127.0.0.1:9", "127.0.0.1:99999", "1 to 65535"),
        ("127.0.0.1:9", "127.0.0.0/40:9", "longer than the address"),
        ("base = \"10m\"", "base = \"ten\"", "is no duration"),
        ("base = \"10m\"", "base = \"10m\", errno = \"EAGAIN\"", "cannot be returned"),
    ] {
        assert_refused(directory.path(), &good.replacen(from, to, 1), &["shedder.toml:", part]);
    }
    let twice = format!("{good}[[policy]]\ncaller = \"app\"\nservice = \"db\"\n");
    assert_refused(directory.path(), &twice, &["both decide about 127.0.0.1:9"]);
}

#[test]
fn a_missing_cgroup_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let cgroup = Cgroup::new("missing").expect("a cgroup");
    let text = policy(&cgroup, &["127.0.0.1:9".parse().expect("an address")], LASTING);
    let missing = format!("{}-not", cgroup.name());
    let text = text.replace(cgroup.name(), &missing);
    assert_refused(directory.path(), &text, &["there is no cgroup", &missing, "create it first"]);
}

#[test]
fn more_endpoints_than_slots_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let cgroup = Cgroup::new("slots").expect("a cgroup");
    let endpoints = ["127.0.0.1:9", "127.0.0.2:9"].map(|text| text.parse().expect("an address"));
    let text = format!("[node]\nmax_endpoints = 1\n{}", policy(&cgroup, &endpoints, LASTING));
    assert_refused(directory.path(), &text, &["service db", "raise max_endpoints in [node]"]);
}

#[test]
fn nested_callers_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let outer = Cgroup::new("outer").expect("a cgroup");
    let inner = outer.child("inner").expect("a cgroup");
    let callers = [("outer", &outer), ("inner", &inner)];
    let text = policy_for(&callers, &["127.0.0.1:9".parse().expect("an address")], LASTING);
    assert_refused(directory.path(), &text, &["lies inside", "make their patterns disjoint"]);
}

#[test]
fn without_privileges_it_says_what_it_needs() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = copy_into(&program().expect("it is built"), directory.path()).expect("a copy");
    let cgroup = Cgroup::new("nobody").expect("a cgroup");
    let file = directory.path().join("shedder.toml");
    let text = policy(&cgroup, &["127.0.0.1:9".parse().expect("an address")], LASTING);
    fs::write(&file, text).expect("it is writable");
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(directory.path(), mode(0o777)).expect("it is ours");
    let output = Command::new(&copy)
        .args(["run", "--config"])
        .arg(&file)
        .arg("--socket")
        .arg(directory.path().join("nobody.sock"))
        .arg("--state-dir")
        .arg(directory.path().join("state"))
        .uid(65_534)
        .gid(65_534)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("needs root, or at least CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"), "{said}");
}

#[test]
fn a_socket_path_in_use_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let cgroup = Cgroup::new("path").expect("a cgroup");
    let text = policy(&cgroup, &["127.0.0.1:9".parse().expect("an address")], LASTING);
    fs::write(directory.path().join("shedder.sock"), "precious").expect("it is writable");
    let output = run(directory.path(), &text);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("exists and is no socket"), "{said}");
    let kept = fs::read_to_string(directory.path().join("shedder.sock")).expect("it exists");
    assert_eq!(kept, "precious");
}

/// By the socket, and, with another socket, by the cgroup.
#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let (mut caller, cgroup) = caller("second");
    let backend = backend(Behaviour::Healthy);
    let text = policy(&cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let file = daemon.socket().with_file_name("shedder.toml");
    let second =
        daemon.command(&["run", "--config", file.to_str().expect("text")]).expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("another shedder (pid {})", daemon.pid())), "{said}");

    let directory = tempfile::tempdir().expect("a directory");
    assert_refused(directory.path(), &text, &["is guarded by another shedder already"]);
    assert_all_answered(&caller.call_many(backend.addr(), 5, PATIENCE).expect("it lives"));
    assert_eq!(daemon.breaker(backend.addr()).expect("it goes on").state, "closed");
}

/// A socket left by a daemon that was killed is no obstacle.
#[test]
fn a_stale_socket_is_taken_over() {
    let cgroup = Cgroup::new("stale").expect("a cgroup");
    let text = policy(&cgroup, &["127.0.0.1:9".parse().expect("an address")], LASTING);
    let mut first = Daemon::start(&text).expect("it starts");
    first.signal(libc::SIGKILL);
    first.wait().expect("it dies");
    assert!(first.socket().exists());
    let file = first.socket().with_file_name("shedder.toml");
    let mut second = shedder_tests::daemon::command(
        &["run", "--check-only", "--config", file.to_str().expect("text")],
        &first.socket(),
    )
    .expect("it is built");
    assert!(second.status().expect("it runs").success());
    let again = Daemon::start_at(&first, &[]).expect("it starts where the first one was");
    assert_eq!(again.status().expect("it answers").node.cgroups.len(), 1);
}

/// With no cgroup2 or no BTF to see, it says which is missing.
#[test]
fn a_node_without_cgroup2_or_types_is_told_so() {
    let cgroup = Cgroup::new("bare").expect("a cgroup");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shedder.toml");
    let text = policy(&cgroup, &["127.0.0.1:9".parse().expect("an address")], LASTING);
    fs::write(&file, text).expect("it is writable");
    // In a mount namespace of its own, so that the machine keeps its mounts.
    let bare = |hide: &str, command: &str| {
        let program = program().expect("it is built");
        let script = format!(
            "{hide} && exec {} {command} --socket {} --state-dir {}",
            program.display(),
            directory.path().join("bare.sock").display(),
            directory.path().join("state").display(),
        );
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "sh", "-c", &script]);
        shell.output().expect("unshare runs")
    };
    let run = format!("run --config {}", file.display());
    let hide_cgroups = "umount $(awk '/ - cgroup2 /{print $5}' /proc/self/mountinfo)";
    let output = bare(hide_cgroups, &run);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no cgroup2 hierarchy is mounted; mount one with"), "{said}");

    let hide_types = "mount -t tmpfs none /sys/kernel/btf";
    let output = bare(hide_types, &run);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no BTF at /sys/kernel/btf/vmlinux"), "{said}");
    assert!(said.contains("--without-btf"), "{said}");
}
