//! One round of looking at connections and ending some, on a thread of its own.
//!
//! Invariant: every order is reported on, whatever went wrong.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::pace::choose;
use crate::engine::{CellId, Established};
use crate::kernel::connections::{Activity, Connection, Connections};
use crate::outpost;

/// What to do about the connections of a breaker.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) cell: CellId,
    /// Directories of the caller's cgroups.
    pub(super) cgroups: Vec<PathBuf>,
    pub(super) endpoint: SocketAddr,
    /// The cookie of the only network namespace to look in; nothing for all.
    pub(super) network: Option<u64>,
    pub(super) fate: Established,
    /// How long an idle connection has been silent.
    pub(super) patience: Duration,
    pub(super) task: Task,
    /// Whether it is still to be done.
    pub(super) permission: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) enum Task {
    /// Find out which there are.
    Count,
    /// End some of these.
    End { cookies: BTreeSet<u64>, at_most: usize },
}

/// What came of an order.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) cell: CellId,
    /// The cookies of the connections there still are.
    pub(super) left: BTreeSet<u64>,
    pub(super) destroyed: usize,
    /// What kept it from seeing or ending some.
    pub(super) trouble: Option<String>,
}

/// Begins to carry out some orders.
pub(super) fn begin(orders: Vec<Order>) -> io::Result<JoinHandle<Vec<Report>>> {
    outpost::spawn("connections", || orders.into_iter().map(carry_out).collect())
}

fn carry_out(order: Order) -> Report {
    let Order { cell, cgroups, endpoint, network, fate, patience, task, permission } = order;
    let mut connections = Connections::of(&cgroups);
    let mut there = connections.towards(endpoint, network);
    let (mut left, at_most) = match task {
        Task::Count => (cookies(&there), 0),
        Task::End { cookies: known, at_most } => {
            there.retain(|connection| known.contains(&connection.cookie));
            // What was not seen may still be there.
            let is_certain = connections.trouble().is_none();
            (if is_certain { cookies(&there) } else { known }, at_most)
        }
    };
    let activities: Vec<Activity> = there.iter().map(|connection| connection.activity).collect();
    let mut destroyed = 0;
    for place in choose(&activities, fate, patience, at_most) {
        let connection = &there[place];
        if !permission.load(Ordering::Relaxed) {
            break;
        }
        if connections.end(connection) {
            left.remove(&connection.cookie);
            destroyed += 1;
        }
    }
    let trouble = connections.trouble().map(ToString::to_string);
    Report { cell, left, destroyed, trouble }
}

fn cookies(connections: &[Connection]) -> BTreeSet<u64> {
    connections.iter().map(|connection| connection.cookie).collect()
}
