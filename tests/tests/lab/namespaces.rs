//! Network namespaces, a host that a router cannot reach, and two hosts with one address.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, ConnectOptions, Kind};
use shedder_tests::cgroup::Cgroup;
use shedder_tests::netns::{NetNs, TwinLinks, UnreachableNet};
use shedder_tests::wire::SynCounter;

use crate::{LOCALHOST, PATIENCE};

#[test]
fn a_namespace_has_a_loopback_of_its_own() {
    let namespace = NetNs::new("own").unwrap();
    let cgroup = Cgroup::new("own").unwrap();
    let (backend, counter) = namespace
        .enter(|| {
            let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
            let counter = SynCounter::on_loopback(backend.addr().port()).unwrap();
            (backend, counter)
        })
        .unwrap();
    let mut inside = Caller::spawn_in(&cgroup, &namespace).unwrap();
    assert!(inside.call(backend.addr(), PATIENCE).unwrap().answered());
    assert_eq!(counter.count().unwrap(), 1);
    backend.set(Behaviour::Blackhole).unwrap();
    assert_eq!(counter.count().unwrap(), 2, "the backend's own connection");
    assert!(TcpStream::connect(backend.addr()).is_err(), "seen from outside");
}

#[test]
fn the_thread_outside_stays_outside() {
    let namespace = NetNs::new("outside").unwrap();
    let link = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = link();
    assert_ne!(namespace.enter(link).unwrap(), before);
    assert_eq!(link(), before);
    assert!(namespace.ip("link set nothing up").is_err());
}

#[test]
fn a_router_reports_an_unreachable_host() {
    let net = UnreachableNet::new().unwrap();
    let cgroup = Cgroup::new("unreachable").unwrap();
    let mut caller = Caller::spawn_in(&cgroup, net.client()).unwrap();
    for nonblocking in [false, true, false] {
        let options =
            ConnectOptions { timeout: Some(PATIENCE), nonblocking, ..ConnectOptions::default() };
        let attempt = caller.connect(net.address(), &options).unwrap();
        assert_eq!(attempt.errno(), Some(libc::EHOSTUNREACH), "{attempt:?}");
        assert!((1_000..900_000).contains(&attempt.connect_us), "{attempt:?}");
    }
}

#[test]
fn the_link_decides_which_of_two_twins_answers() {
    let net = TwinLinks::new().unwrap();
    let cgroup = Cgroup::new("twins").unwrap();
    let mut caller = Caller::spawn_in(&cgroup, net.client()).unwrap();
    for (device, backend) in TwinLinks::DEVICES.iter().zip(net.backends()) {
        let link_local = net.link_local_by(device).unwrap();
        assert!(caller.call(link_local, PATIENCE).unwrap().answered(), "{device}");
        let bound = Kind::BoundTo((*device).to_owned());
        let calls = caller.call_by(&bound, net.ipv4(), 2, PATIENCE).unwrap();
        assert!(calls.iter().all(shedder_tests::caller::Call::answered), "{device}: {calls:?}");
        assert_eq!(backend.accepted(), 3, "{device}");
    }
}

#[test]
fn settings_and_counters_are_the_namespaces_own() {
    let namespace = NetNs::new("settings").unwrap();
    let path = "/proc/sys/net/ipv4/tcp_fastopen";
    let outside = fs::read_to_string(path).unwrap();
    namespace.set("ipv4/tcp_fastopen", "1027").unwrap();
    assert_eq!(namespace.enter(|| fs::read_to_string(path)).unwrap().unwrap(), "1027\n");
    assert_eq!(fs::read_to_string(path).unwrap(), outside);
    assert_eq!(namespace.counter("TcpExt", "TCPFastOpenActive").unwrap(), 0);
    assert!(namespace.set("ipv4/no_such_setting", "1").is_err());
}

#[test]
fn a_network_adds_nothing_to_the_host() {
    let interfaces = || -> BTreeSet<_> {
        fs::read_dir("/sys/class/net").unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = interfaces();
    let net = UnreachableNet::new().unwrap();
    assert_eq!(interfaces(), before);
    drop(net);
    assert_eq!(interfaces(), before);
}
