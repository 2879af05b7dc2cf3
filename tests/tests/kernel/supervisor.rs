//! What systemd hears of a daemon it has started, on the socket it listens at.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use tempfile::TempDir;

use crate::scene::{LASTING, PATIENCE, backend, caller, policy};

/// What systemd listens at, and what it hears.
struct Ear {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Ear {
    fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        Self { socket, directory }
    }

    /// How a daemon is started that is watched, and hears of it as systemd says it.
    fn start(&self, text: &str) -> Daemon {
        let socket = format!("NOTIFY_SOCKET={}", self.directory.path().join("notify").display());
        // Three tenths of a second: it speaks every tenth.
        let through = ["env", socket.as_str(), "WATCHDOG_USEC=300000"];
        Daemon::start_through(&through, text, &[]).expect("it starts")
    }

    /// The next message; nothing when none comes in this time.
    fn hear(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).expect("it is no zero");
        let mut message = [0; 512];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    }

    /// The first message that is not just that the daemon is alive.
    fn hear_news(&self) -> Option<String> {
        std::iter::from_fn(|| self.hear(PATIENCE)).find(|message| message != ALIVE)
    }
}

const ALIVE: &str = "WATCHDOG=1\n";

#[test]
fn it_is_ready_when_it_guards_and_alive_until_it_stops() {
    let (_caller, cgroup) = caller("watched");
    let backend = backend(Behaviour::Healthy);
    let ear = Ear::open();
    let mut daemon = ear.start(&policy(&cgroup, &[backend.addr()], LASTING));
    let ready = ear.hear_news().expect("it is ready");
    assert_eq!(ready, "READY=1\nSTATUS=cgroups guarded: 1, endpoints: 1\n");
    assert!((0..5).all(|_| ear.hear(PATIENCE).as_deref() == Some(ALIVE)));
    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    assert_eq!(ear.hear_news().expect("it says so"), "STOPPING=1\n");
    assert_eq!(ear.hear(Duration::from_millis(1)), None);
}

/// Whoever takes the daemon over has little of what root has, and its children no more.
#[test]
fn it_keeps_only_the_capabilities_it_needs() {
    let (_caller, cgroup) = caller("humble");
    let backend = backend(Behaviour::Healthy);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("it lives");
    let mut threads = 0;
    for task in tasks {
        let path = task.expect("readable").path().join("status");
        let status = std::fs::read_to_string(path).expect("it lives");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
        };
        // chown, dac_read_search, net_bind_service, net_admin, sys_ptrace, sys_admin, perfmon, bpf.
        let kept = "000000c000281405";
        assert_eq!([field("CapEff:"), field("CapPrm:"), field("CapBnd:")], [kept; 3]);
        let none = "0000000000000000";
        assert_eq!([field("CapInh:"), field("CapAmb:")], [none; 2]);
        assert_eq!(field("NoNewPrivs:"), "1");
        threads += 1;
    }
    assert!(threads >= 2, "the journal has a thread of its own");
}

/// The unit leaves it what it keeps.
#[test]
fn the_unit_bounds_it_to_the_same() {
    let unit = include_str!("../../../deploy/systemd/shedder.service");
    let mut bounds: Vec<&str> = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .expect("it has bounds")
        .split(' ')
        .collect();
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
}

/// One that is stuck is not alive, however many of its threads are.
#[test]
fn a_daemon_that_hangs_is_not_heard() {
    let (_caller, cgroup) = caller("stuck");
    let backend = backend(Behaviour::Healthy);
    let ear = Ear::open();
    let daemon = ear.start(&policy(&cgroup, &[backend.addr()], LASTING));
    assert!((0..3).all(|_| ear.hear(PATIENCE).is_some()));
    daemon.pause().expect("it stops");
    // What was said before.
    while ear.hear(Duration::from_millis(1)).is_some() {}
    assert_eq!(ear.hear(Duration::from_secs(1)), None);
    daemon.signal(libc::SIGCONT);
    assert_eq!(ear.hear(PATIENCE).as_deref(), Some(ALIVE));
}
