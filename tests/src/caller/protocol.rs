//! What a [`super::Caller`] and its process say to each other: one JSON object per line.
//!
//! Invariant: every order gets exactly one reply, or the reason why it could not be carried out.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::report::{Attempt, Call, Cause, Errno};
use super::tcp::ConnectOptions;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    Connect { addr: SocketAddr, options: ConnectOptions },
    Call { addr: SocketAddr, calls: u32, timeout: Duration },
    Storm { addr: SocketAddr, processes: u32, timeout: Duration },
    Open { addr: SocketAddr, timeout: Duration },
    Start { addr: SocketAddr },
    Reconnect { connection: u64, addr: SocketAddr, timeout: Duration },
    Request { connection: u64, timeout: Duration },
    LastRequest { connection: u64, timeout: Duration },
    AwaitEnd { connection: u64, timeout: Duration },
    SynCount { connection: u64 },
    SetSynCount { connection: u64, count: u32 },
    Close { connection: u64 },
    Lives { addrs: Vec<SocketAddr>, lives: u32, seed: u64 },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Attempt(Attempt),
    Calls(Vec<Call>),
    Opened(u64),
    Started(u64, Option<Errno>),
    Ended(Cause),
    SynCount(u32),
    Set,
    Closed,
    Lived,
}
