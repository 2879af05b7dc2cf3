//! Every form of an address is treated alike, and every cgroup below a guarded one.

use std::net::{IpAddr, Ipv6Addr};

use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Caller, as_mapped_ipv6};
use shedder_tests::daemon::Daemon;

use crate::scene::{LASTING, PATIENCE, backend, caller, open, policy};

#[test]
fn ipv6_is_opened_like_ipv4() {
    let (mut caller, cgroup) = caller("ipv6");
    let backend = Backend::start(IpAddr::V6(Ipv6Addr::LOCALHOST), Behaviour::Refuse).expect("::1");
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
    assert_eq!(backend.accepted(), 0);
}

/// An IPv4 endpoint is the same endpoint through an IPv6 socket.
#[test]
fn mapped_addresses_share_the_breaker_of_their_ipv4_endpoint() {
    let (mut caller, cgroup) = caller("mapped");
    let backend = backend(Behaviour::Refuse);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    let events = daemon.events().expect("it answers");
    let mapped = as_mapped_ipv6(backend.addr());
    caller.call_many(mapped, 3, PATIENCE).expect("it lives");
    events.wait_for_state(backend.addr(), "open").expect("it opens");
    backend.set(Behaviour::Healthy).expect("it lives");
    for endpoint in [mapped, backend.addr()] {
        let call = caller.call(endpoint, PATIENCE).expect("it lives");
        assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED), "{endpoint}");
    }
    assert_eq!(backend.accepted(), 0);
}

/// What is guarded includes the cgroups below it.
#[test]
fn a_child_cgroup_is_guarded_with_its_parent() {
    let (_parent_caller, cgroup) = caller("parent");
    let child = cgroup.child("child").expect("a cgroup");
    let mut caller = Caller::spawn(&child).expect("a caller starts");
    let backend = backend(Behaviour::Refuse);
    let daemon = Daemon::start(&policy(&cgroup, &[backend.addr()], LASTING)).expect("it starts");
    drop(open(&daemon, &mut caller, backend.addr()));
    backend.set(Behaviour::Healthy).expect("it lives");
    let call = caller.call(backend.addr(), PATIENCE).expect("it lives");
    assert_eq!(call.connect_errno(), Some(libc::ECONNREFUSED));
}
