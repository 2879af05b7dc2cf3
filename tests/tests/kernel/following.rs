//! Who follows events gets what was asked for, each once, from one daemon after the other.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::{Daemon, command};
use shedder_user::api::model::Event;

use crate::scene::{LASTING, PATIENCE, backend, caller, policy};

/// A client that follows, and what it prints on both of its outputs.
struct Follower {
    process: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(daemon: &Daemon, arguments: &[&str]) -> Self {
        let arguments = [&["events", "--follow"], arguments].concat();
        let mut client = command(&arguments, &daemon.socket()).expect("it is built");
        let mut process =
            client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let (sender, lines) = channel();
        let output = process.stdout.take().expect("it is piped");
        let errors = process.stderr.take().expect("it is piped");
        let also = sender.clone();
        thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(Result::ok)
                .for_each(|it| drop(sender.send(it)));
        });
        thread::spawn(move || {
            BufReader::new(errors).lines().map_while(Result::ok).for_each(|it| drop(also.send(it)));
        });
        Self { process, lines }
    }

    /// All lines up to one that contains `part`.
    fn wait_for(&self, part: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let next = self.lines.recv_timeout(PATIENCE);
            assert!(next.is_ok(), "waited in vain for {part:?}; there were {seen:#?}");
            seen.extend(next);
            if seen.last().is_some_and(|line| line.contains(part)) {
                return seen;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn events(lines: &[String]) -> Vec<Event> {
    let json = lines.iter().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).expect("an event")).collect()
}

#[test]
fn who_follows_is_told_that_the_daemon_went_and_hears_the_next_one() {
    let (_caller, cgroup) = caller("follow");
    let endpoint = backend(Behaviour::Healthy).addr();
    let mut daemon = Daemon::start(&policy(&cgroup, &[endpoint], LASTING)).expect("it starts");
    let follower = Follower::start(&daemon, &["--json"]);
    let mut lines = follower.wait_for("\"attached\"");
    daemon.signal(libc::SIGTERM);
    daemon.wait().expect("it ends");
    lines.extend(follower.wait_for("the daemon went away"));
    let again = Daemon::start_at(&daemon, &[]).expect("it starts");
    lines.extend(follower.wait_for("the daemon is back"));
    again.succeed(&["trip", &endpoint.to_string()]).expect("root");
    lines.extend(follower.wait_for("\"transition\""));
    let events = events(&lines);
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..).take(events.len()).collect::<Vec<_>>());
    let count = |kind: &str| events.iter().filter(|event| event.kind.name() == kind).count();
    assert_eq!((count("started"), count("stopping"), count("override")), (2, 1, 1));
}

#[test]
fn filters_leave_what_was_asked_for() {
    let (_caller, cgroup) = caller("filters");
    let [one, other] = [Behaviour::Healthy, Behaviour::Healthy].map(backend);
    let text = policy(&cgroup, &[one.addr(), other.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    for endpoint in [one.addr(), other.addr()] {
        daemon.succeed(&["trip", &endpoint.to_string()]).expect("root");
    }
    let shown = |arguments: &[&str]| {
        let arguments = [&["events"], arguments].concat();
        let text = daemon.succeed(&arguments).expect("it answers");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = shown(&[]);
    let of_one = shown(&["--endpoint", &one.addr().to_string()]);
    assert_eq!(of_one.len(), 2, "the order, and what came of it: {of_one:#?}");
    assert!(of_one.iter().all(|line| line.contains(&one.addr().to_string())));
    let kinds = shown(&["--kind", "override", "--kind", "started"]);
    assert_eq!(kinds.len(), 3, "{kinds:#?}");
    assert!(kinds[1].contains("user 0 (shedder, pid "), "{kinds:#?}");
    assert!(kinds[1].contains("for 5m; `shedder reset"), "{kinds:#?}");
    assert_eq!(shown(&["--last", "2"]), all[all.len() - 2..]);
    assert_eq!(shown(&["-n", "1", "--kind", "started"]), all[..1]);
    assert_eq!(shown(&["--since", "1h", "--service", "db", "--caller", "app"]).len(), 4);
    assert_eq!(shown(&["--since", "0s", "--json"]), [""; 0]);
    assert_eq!(shown(&["--service", "other"]), ["No events: nothing happened that was asked for."]);
    let follower = Follower::start(&daemon, &["--kind", "override", "--last", "1"]);
    let first = follower.wait_for("tripped");
    assert_eq!(first, [kinds[2].clone()]);
    daemon.succeed(&["reset", &one.addr().to_string()]).expect("root");
    assert_eq!(follower.wait_for("reset app calling").len(), 1);
    let wrong = daemon.command(&["events", "--kind", "overide"]).expect("it runs");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("'override'"));
}
