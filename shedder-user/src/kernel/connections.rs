//! The established TCP connections of some cgroups, how to end one of them, and the ports they are
//! made from.
//!
//! Invariant: a socket that is not known to belong to one of the cgroups is never touched, and the
//! calling thread stays in its network namespace.

mod diag;
mod local_ports;
mod members;
mod probe;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::diag::DiagError;
pub use self::local_ports::LocalPorts;
pub use self::probe::Unsupported;

pub(super) use self::probe::probe;

use self::diag::{Diag, Socket};
use self::members::Members;

/// A view of the connections of some cgroups and those below them, in every network namespace in
/// which their processes live.
#[derive(Debug)]
pub struct Connections {
    cgroups: BTreeSet<u64>,
    namespaces: Vec<Diag>,
    trouble: Option<ConnectionsError>,
}

/// One connection, as it was when it was looked at.
#[derive(Debug)]
pub struct Connection {
    /// The number of its socket, which no other socket of the node ever has.
    pub cookie: u64,
    /// What goes on on it.
    pub activity: Activity,
    /// Index of the namespace.
    namespace: usize,
    socket: Socket,
}

/// What goes on on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// How long ago the last byte came or went, in milliseconds as the kernel counts them.
    pub silent: Duration,
    /// Something is not acknowledged, not read, or not answered yet.
    pub is_under_way: bool,
}

/// What keeps connections from being seen or ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionsError {
    /// The processes of a cgroup are unknown.
    #[error("the processes of {cgroup} cannot be listed: {source}")]
    Processes {
        /// Its directory.
        cgroup: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A namespace is closed to us.
    #[error(
        "the network namespace of a process in {cgroup} cannot be entered: {source}; that takes CAP_SYS_ADMIN and CAP_SYS_PTRACE"
    )]
    Namespace {
        /// The directory of its cgroup.
        cgroup: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// No thread to enter a namespace with.
    #[error("no thread can be started: {0}")]
    Thread(io::Error),
    /// The kernel does not answer, or refuses.
    #[error(transparent)]
    Diag(#[from] DiagError),
}

impl Connections {
    /// Looks up where the connections of the cgroups at these paths can be. What cannot be looked
    /// at is left out and is [`Connections::trouble`].
    pub fn of(cgroups: &[PathBuf]) -> Self {
        let members = Members::of(cgroups);
        let mut trouble = members.trouble;
        let open = || Ok(Diag::open().map_err(DiagError::from)?);
        let namespaces = members::in_each(members.namespaces, &mut trouble, open);
        Self { cgroups: members.cgroups, namespaces, trouble }
    }

    /// Those towards an endpoint; an IPv4-mapped address is the IPv4 endpoint it means.
    /// With a `network` only those in the network namespace with this cookie.
    pub fn towards(&mut self, endpoint: SocketAddr, network: Option<u64>) -> Vec<Connection> {
        let Self { cgroups, namespaces, trouble } = self;
        let mut found = Vec::new();
        for (namespace, diag) in namespaces.iter_mut().enumerate() {
            if network.is_some() && diag.network() != network {
                continue;
            }
            let sockets = match diag.towards(endpoint) {
                Ok(sockets) => sockets,
                Err(error) => {
                    trouble.get_or_insert_with(|| error.into());
                    continue;
                }
            };
            let own = sockets
                .into_iter()
                .filter(|socket| socket.cgroup.is_some_and(|cgroup| cgroups.contains(&cgroup)));
            found.extend(own.map(|socket| Connection {
                cookie: socket.cookie(),
                activity: socket.activity,
                namespace,
                socket,
            }));
        }
        found
    }

    /// Strikes out the cookies of sockets in these namespaces that have not ended, of whatever cgroup.
    pub fn strike_out_living(&mut self, cookies: &mut BTreeSet<u64>) {
        let Self { namespaces, trouble, .. } = self;
        for diag in namespaces {
            if let Err(error) = diag.strike_out_living(cookies) {
                trouble.get_or_insert_with(|| error.into());
            }
        }
    }

    /// Ends one of them, found by this view: its owner's next call on it fails with `ECONNABORTED`,
    /// its peer is sent a reset. False when it had ended already, or cannot be ended.
    pub fn end(&mut self, connection: &Connection) -> bool {
        let Some(diag) = self.namespaces.get_mut(connection.namespace) else { return false };
        diag.destroy(&connection.socket).unwrap_or_else(|error| {
            self.trouble.get_or_insert_with(|| error.into());
            false
        })
    }

    /// What first kept a connection from being seen or ended.
    pub const fn trouble(&self) -> Option<&ConnectionsError> {
        self.trouble.as_ref()
    }
}
