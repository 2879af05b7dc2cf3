//! What systemd hears of a daemon it has started, on the socket it listens at.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use tempfile::TempDir;

use crate::scene::{LASTING, PATIENCE, backend, caller, policy};

/// What systemd listens at, and what it hears.
pub(crate) struct Ear {
    socket: UnixDatagram,
    directory: TempDir,
}

impl Ear {
    pub(crate) fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        Self { socket, directory }
    }

    /// How a daemon is started that is watched, and hears of it as systemd says it.
    pub(crate) fn start(&self, text: &str) -> Daemon {
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

    /// Hears nothing for a while, as of a loop that hangs.
    pub(crate) fn assert_silence(&self) {
        // What is said until then is about a look before.
        let falls_silent = (0..100).any(|_| self.hear(Duration::from_secs(1)).is_none());
        assert!(falls_silent, "it goes on and on");
    }

    /// Hears that the daemon is alive.
    pub(crate) fn assert_alive(&self) {
        assert_eq!(self.hear(PATIENCE).as_deref(), Some(ALIVE));
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

/// One that is stuck is not alive, however many of its threads are.
#[test]
fn a_daemon_that_hangs_is_not_heard() {
    let (_caller, cgroup) = caller("stuck");
    let backend = backend(Behaviour::Healthy);
    let ear = Ear::open();
    let daemon = ear.start(&policy(&cgroup, &[backend.addr()], LASTING));
    assert!((0..3).all(|_| ear.hear(PATIENCE).is_some()));
    daemon.pause().expect("it stops");
    ear.assert_silence();
    daemon.signal(libc::SIGCONT);
    ear.assert_alive();
}
