//! Connections that outlive their cgroup: a process has ended, and its peer has not read all it sent.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use shedder_tests::cgroup::Cgroup;
use shedder_tests::daemon::{Daemon, Events};
use shedder_user::api::model::{Event, EventKind};

use crate::scene::{LASTING, LOCALHOST, policy, wait_for, wait_until};

/// Their ends are told though the cgroup is gone.
#[test]
fn what_is_open_when_a_cgroup_goes_is_counted_to_its_end() {
    let listener = TcpListener::bind((LOCALHOST, 0)).expect("a port is free");
    let endpoint = listener.local_addr().expect("it has one");
    let cgroup = Cgroup::new("outlived").expect("a cgroup");
    let daemon = Daemon::start(&policy(&cgroup, &[endpoint], LASTING)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let stream = outlive(cgroup, &listener, &events);
    let open = daemon.breaker(endpoint).expect("it has one").in_flight.connections;
    assert_eq!(open, 1, "the kernel still tries to send the rest");
    drop(stream);
    wait_until(&daemon, endpoint, |breaker| breaker.in_flight.connections == 0);
}

/// Nor does one whose end nobody tells keep its endpoint for ever.
#[test]
fn what_never_ends_is_forgotten_in_the_end() {
    let listener = TcpListener::bind((LOCALHOST, 0)).expect("a port is free");
    let endpoint = listener.local_addr().expect("it has one");
    let cgroup = Cgroup::new("outlived").expect("a cgroup");
    let network = format!("127.0.0.0/8:{}", endpoint.port());
    let text = policy(&cgroup, &[endpoint], LASTING).replace(&endpoint.to_string(), &network);
    let text = format!("[node]\nforget_after = \"1s\"\n{text}");
    let daemon = Daemon::start(&text).expect("it starts");
    let events = daemon.events().expect("it answers");
    // Not measured: it is what makes the endpoint known.
    let connect = || connect_from(&cgroup, endpoint, "true");
    assert!(connect().wait().expect("it ends").success());
    drop(listener.accept().expect("it called"));
    let found = |event: &EventKind| matches!(event, EventKind::Discovered { .. });
    wait_for_event(&events, found);
    let _stream = outlive(cgroup, &listener, &events);
    let forgotten = |event: &EventKind| matches!(event, EventKind::Forgotten { .. });
    wait_for_event(&events, forgotten);
}

/// Lets a process send more than is read, and ends it and its cgroup; the other end.
fn outlive(cgroup: Cgroup, listener: &TcpListener, events: &Events) -> TcpStream {
    let endpoint = listener.local_addr().expect("it has one");
    let mut process = connect_from(&cgroup, endpoint, "head -c 1000000000 /dev/zero >&3");
    let (stream, _) = listener.accept().expect("it calls");
    let mut before = 0;
    wait_for("more is sent than is read", || {
        let waiting = waiting_to_be_sent(endpoint);
        let is_stuck = waiting > 0 && waiting == before;
        before = waiting;
        is_stuck
    });
    process.kill().expect("it is ours");
    process.wait().expect("it is ours");
    drop(cgroup);
    wait_for_event(events, |event| matches!(event, EventKind::Detached { .. }));
    stream
}

/// A process in `cgroup` that connects and then does as it is told, with the connection as descriptor 3.
fn connect_from(cgroup: &Cgroup, endpoint: SocketAddr, then: &str) -> Child {
    let (address, port) = (endpoint.ip(), endpoint.port());
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec 3<>/dev/tcp/{address}/{port}; exec {then}")]);
    command.stdin(Stdio::null());
    cgroup.start_inside(&mut command).expect("root may");
    command.spawn().expect("bash is there")
}

/// Bytes that whoever is connected to `endpoint` has written and it has not acknowledged.
fn waiting_to_be_sent(endpoint: SocketAddr) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").expect("it is there");
    let peer = format!(":{:04X}", endpoint.port());
    let queues = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let queue = fields.get(4)?.split(':').next()?;
        fields.get(2)?.ends_with(&peer).then(|| u64::from_str_radix(queue, 16).ok())?
    });
    queues.sum()
}

/// Waits for longer than an endpoint with a connection is kept.
fn wait_for_event(events: &Events, is_it: impl Fn(&EventKind) -> bool) {
    let wanted = |event: &Event| is_it(&event.kind).then_some(());
    events.wait_at_most(Duration::from_secs(40), wanted).expect("it happens");
}
