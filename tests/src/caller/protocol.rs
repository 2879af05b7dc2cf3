//! What a [`super::Caller`] and its process say to each other: one JSON object per line.
//!
//! Invariant: every order gets exactly one reply, or the reason why it could not be carried out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::burst::Tally;
use super::datagram::Exchange;
use super::kind::Kind;
use super::report::{Attempt, Call, Cause, Errno};
use super::tcp::ConnectOptions;

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    Connect { addr: SocketAddr, options: ConnectOptions },
    Call { addr: SocketAddr, kind: Kind, calls: u32, timeout: Duration },
    Storm { addr: SocketAddr, processes: u32, timeout: Duration },
    Crowd { addr: SocketAddr, threads: u32, timeout: Duration },
    Burst { addrs: Vec<SocketAddr>, rounds: u32, processes: u32 },
    Prepare { addr: SocketAddr, kind: Kind },
    PrepareBeside { connection: u64, addr: SocketAddr, places: u64 },
    ConnectWith { connection: u64, addr: SocketAddr, timeout: Duration },
    Open { addr: SocketAddr, timeout: Duration },
    Start { addr: SocketAddr },
    Reconnect { connection: u64, addr: SocketAddr, timeout: Duration },
    Request { connection: u64, timeout: Duration },
    LastRequest { connection: u64, timeout: Duration },
    Exchange { connection: u64, to: Option<SocketAddr>, timeout: Duration },
    AwaitEnd { connection: u64, timeout: Duration },
    Peer { connection: u64 },
    SynCount { connection: u64 },
    SetSynCount { connection: u64, count: u32 },
    Close { connection: u64 },
    Lives { addrs: Vec<SocketAddr>, lives: u32, seed: u64 },
    Expect { path: PathBuf },
    Give { connection: u64, path: PathBuf },
    Take,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Attempt(Attempt),
    Calls(Vec<Call>),
    Tally(Tally),
    Exchange(Exchange),
    Opened(u64),
    Started(u64, Option<Errno>),
    Ended(Cause),
    Peer(SocketAddr),
    SynCount(u32),
    Done,
}
