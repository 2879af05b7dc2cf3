//! The SYN counter against known numbers of connects.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::ConnectOptions;
use shedder_tests::wire::SynCounter;

use crate::{LOCALHOST, PATIENCE, caller};

#[test]
fn each_connect_is_one_syn() {
    let (mut caller, _cgroup) = caller("syns");
    for ip in [LOCALHOST, IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let backend = Backend::start(ip, Behaviour::Healthy).unwrap();
        let other = Backend::start(ip, Behaviour::Healthy).unwrap();
        let counter = SynCounter::on_loopback(backend.addr().port()).unwrap();
        assert_eq!(counter.count().unwrap(), 0);
        caller.call_many(backend.addr(), 25, PATIENCE).unwrap();
        caller.call_many(other.addr(), 5, PATIENCE).unwrap();
        assert_eq!(counter.count().unwrap(), 25);
        backend.set(Behaviour::Refuse).unwrap();
        caller.call_many(backend.addr(), 2_000, PATIENCE).unwrap();
        assert_eq!(counter.count().unwrap(), 2_025);
    }
}

#[test]
fn mapped_and_non_blocking_connects_count_alike() {
    let backend = Backend::start(LOCALHOST, Behaviour::Healthy).unwrap();
    let (mut caller, _cgroup) = caller("mapped");
    let counter = SynCounter::on_loopback(backend.addr().port()).unwrap();
    let options =
        ConnectOptions { nonblocking: true, as_mapped_ipv6: true, ..ConnectOptions::default() };
    caller.connect(backend.addr(), &options).unwrap();
    assert_eq!(counter.count().unwrap(), 1);
}

#[test]
fn a_blackholed_syn_is_on_the_wire() {
    let backend = Backend::start(LOCALHOST, Behaviour::Blackhole).unwrap();
    let (mut caller, _cgroup) = caller("dropped");
    let counter = SynCounter::on_loopback(backend.addr().port()).unwrap();
    caller.call(backend.addr(), Duration::from_millis(50)).unwrap();
    assert_eq!(counter.count().unwrap(), 1);
}
