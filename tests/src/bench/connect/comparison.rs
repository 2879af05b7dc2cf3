//! What is compared with what.
//!
//! Invariant: the first arm of a comparison is not attached, and the others are told as a ratio
//! to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::guard::Attached;
use super::operation::{Kind, Operation};
use crate::bench::ground::Ground;
use crate::bench::server::{
    ACCEPTING_PORT, ANSWERING_PORT, BULK_PORT, CLOSED_PORT, NEAR_ANSWERING_PORT, NEAR_BULK_PORT,
};

/// Arms measured in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) title: &'static str,
    /// The most the second arm's median may be, as a multiple of the first's.
    pub(super) target: Option<f64>,
    pub(super) arms: &'static [Arm],
}

/// One way of doing an operation.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Arm {
    pub(super) name: &'static str,
    pub(super) attached: Attached,
    pub(super) operation: Operation,
}

/// Everything that can be measured there: two clients at once need two CPUs.
pub(super) fn possible(ground: &Ground) -> Vec<&'static Comparison> {
    let is_contended = |arm: &Arm| arm.operation.kind == Kind::ContendedConnect;
    let has_two = ground.client_cpu != ground.server_cpu;
    COMPARISONS.iter().filter(|one| has_two || !one.arms.iter().any(is_contended)).collect()
}

const COMPARISONS: &[Comparison] = &[
    Comparison {
        title: "connect + close, server accepting on another CPU",
        target: Some(1.05),
        arms: &[
            Arm::plain("not attached", Kind::ConnectAndClose, ANSWERING),
            Arm::attached("attached, guarded", Kind::ConnectAndClose, ANSWERING),
        ],
    },
    Comparison {
        title: "connect + close, server asleep",
        target: Some(1.05),
        arms: &[
            Arm::plain("not attached", Kind::ConnectAndClose, GUARDED),
            ALLOWED_CONNECT,
            Arm::attached("attached, no slot", Kind::ConnectAndClose, WITHOUT_SLOT),
            Arm::new("attached, for nobody", Attached::Nobody, Kind::ConnectAndClose, GUARDED),
        ],
    },
    Comparison {
        title: "connect alone",
        target: None,
        arms: &[
            Arm::plain("not attached", Kind::Connect, GUARDED),
            Arm::attached("attached, guarded", Kind::Connect, GUARDED),
            Arm::attached("attached, no slot", Kind::Connect, WITHOUT_SLOT),
        ],
    },
    Comparison {
        title: "connect + close, 8 callers × 50 endpoints in turn, server asleep",
        target: None,
        arms: &[
            Arm::plain("not attached", Kind::SpreadConnect, GUARDED),
            Arm::new("attached, guarded", Attached::Crowd, Kind::SpreadConnect, GUARDED),
        ],
    },
    Comparison {
        title: "connect + close to one endpoint from two CPUs at once, server asleep",
        target: None,
        arms: &[
            Arm::plain("not attached", Kind::ContendedConnect, GUARDED),
            Arm::attached("attached, guarded", Kind::ContendedConnect, GUARDED),
        ],
    },
    Comparison {
        title: "request/response of 64 bytes, on one CPU",
        target: Some(1.03),
        arms: &[Arm::plain("not attached", Kind::RequestResponse, NEAR_ANSWERING), REQUEST],
    },
    Comparison {
        title: "request/response of 64 bytes, between two CPUs",
        target: Some(1.03),
        arms: &[
            Arm::plain("not attached", Kind::RequestResponse, ANSWERING),
            Arm::attached("attached, guarded", Kind::RequestResponse, ANSWERING),
        ],
    },
    Comparison {
        title: "bulk stream, 1 MiB there and back, on one CPU",
        target: Some(1.03),
        arms: &[
            Arm::plain("not attached", Kind::Bulk, NEAR_BULK),
            Arm::attached("attached, guarded", Kind::Bulk, NEAR_BULK),
        ],
    },
    Comparison {
        title: "bulk stream, 1 MiB there and back, between two CPUs",
        target: None,
        arms: &[
            Arm::plain("not attached", Kind::Bulk, BULK),
            Arm::attached("attached, guarded", Kind::Bulk, BULK),
        ],
    },
    Comparison {
        title: "refused connect, socket to close",
        target: Some(0.6),
        arms: &[
            Arm::plain("by the kernel, not attached", Kind::RefusedConnect, REFUSED),
            REFUSED_CONNECT,
        ],
    },
];

/// A connect that finds a verdict, which lets it through.
pub(in crate::bench) const ALLOWED_CONNECT: Arm =
    Arm::attached("attached, guarded", Kind::ConnectAndClose, GUARDED);
/// The same by an IPv6 socket.
pub(in crate::bench) const ALLOWED_CONNECT_BY_IPV6: Arm =
    Arm::attached("attached, guarded", Kind::ConnectAndClose, GUARDED_AS_IPV6);
/// A connect that finds a verdict, which refuses it.
pub(in crate::bench) const REFUSED_CONNECT: Arm =
    Arm::attached("by verdict, attached", Kind::RefusedConnect, REFUSED);
/// A request and its answer on a guarded connection.
pub(in crate::bench) const REQUEST: Arm =
    Arm::attached("attached, guarded", Kind::RequestResponse, NEAR_ANSWERING);

/// The endpoints with a slot that allows.
pub(super) const ALLOWED: [SocketAddr; 5] = [GUARDED, ANSWERING, NEAR_ANSWERING, BULK, NEAR_BULK];
/// The endpoint with a slot that denies.
pub(super) const REFUSED: SocketAddr = endpoint(Ipv4Addr::new(127, 0, 0, 2), CLOSED_PORT);

impl Arm {
    const fn plain(name: &'static str, kind: Kind, endpoint: SocketAddr) -> Self {
        Self::new(name, Attached::No, kind, endpoint)
    }

    const fn attached(name: &'static str, kind: Kind, endpoint: SocketAddr) -> Self {
        Self::new(name, Attached::Client, kind, endpoint)
    }

    const fn new(name: &'static str, attached: Attached, kind: Kind, endpoint: SocketAddr) -> Self {
        Self { name, attached, operation: Operation { kind, endpoint } }
    }
}

const fn endpoint(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(address), port)
}

const GUARDED: SocketAddr = endpoint(Ipv4Addr::new(127, 1, 0, 2), ACCEPTING_PORT);
const GUARDED_AS_IPV6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv4Addr::new(127, 1, 0, 2).to_ipv6_mapped()), ACCEPTING_PORT);
const WITHOUT_SLOT: SocketAddr = endpoint(Ipv4Addr::new(127, 1, 0, 3), ACCEPTING_PORT);
const NEAR_ANSWERING: SocketAddr = endpoint(Ipv4Addr::new(127, 0, 0, 2), NEAR_ANSWERING_PORT);
const ANSWERING: SocketAddr = endpoint(Ipv4Addr::new(127, 0, 0, 2), ANSWERING_PORT);
const NEAR_BULK: SocketAddr = endpoint(Ipv4Addr::new(127, 0, 0, 2), NEAR_BULK_PORT);
const BULK: SocketAddr = endpoint(Ipv4Addr::new(127, 0, 0, 2), BULK_PORT);
