//! Which programs the kernel runs for a cgroup, as the kernel itself says.
#![expect(unsafe_code, reason = "the query has no wrapper")]

use std::io;
use std::os::fd::AsRawFd as _;

use crate::cgroup::Cgroup;

/// A place where programs of a cgroup run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Hook {
    /// A packet arrives.
    Ingress = 0,
    /// A packet leaves.
    Egress = 1,
    /// The life of a connection.
    SockOps = 3,
    /// An IPv4 connect.
    Connect4 = 10,
    /// An IPv6 connect.
    Connect6 = 11,
    /// An IPv4 socket is asked for its peer.
    PeerName4 = 29,
    /// An IPv6 socket is asked for its peer.
    PeerName6 = 30,
    /// The sender of an IPv4 datagram is shown.
    ReceiveMsg4 = 19,
    /// The sender of an IPv6 datagram is shown.
    ReceiveMsg6 = 20,
    /// An IPv4 datagram is sent without a connect.
    SendMsg4 = 14,
    /// An IPv6 datagram is sent without a connect.
    SendMsg6 = 15,
}

/// Programs attached to the cgroup itself at `hook`. Needs root.
pub fn programs(cgroup: &Cgroup, hook: Hook) -> io::Result<u32> {
    ask(cgroup, hook, &mut [])
}

/// Their numbers, in the order in which they run.
pub fn program_ids(cgroup: &Cgroup, hook: Hook) -> io::Result<Vec<u32>> {
    let mut ids = vec![0; 64];
    let count = ask(cgroup, hook, &mut ids)?;
    ids.truncate(count as usize);
    Ok(ids)
}

/// How many there are; as many of their numbers as there is room for are written.
fn ask(cgroup: &Cgroup, hook: Hook, ids: &mut [u32]) -> io::Result<u32> {
    let directory = std::fs::File::open(cgroup.path())?;
    let mut query = Query {
        target: directory.as_raw_fd().cast_unsigned(),
        attach_type: hook as u32,
        ids: if ids.is_empty() { 0 } else { ids.as_mut_ptr().addr() as u64 },
        programs: u32::try_from(ids.len()).map_err(io::Error::other)?,
        ..Query::default()
    };
    let length = libc::c_uint::try_from(size_of::<Query>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads and writes as many bytes, and as many ids, as it is told; without room
    // for ids it writes the number of programs only.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, length) };
    if result == 0 { Ok(query.programs) } else { Err(io::Error::last_os_error()) }
}

/// The kernel's `struct query` of `union bpf_attr`, as far as it has always been.
#[derive(Default)]
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    flags: u32,
    flags_of_attaching: u32,
    ids: u64,
    programs: u32,
    padding: u32,
}

const BPF_PROG_QUERY: libc::c_int = 16;
