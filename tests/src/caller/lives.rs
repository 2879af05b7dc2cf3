//! Random lives of connections, many and fast: whatever an application can do to a socket, in any
//! order.
//!
//! Invariant: the same seed does the same; what the network does in between is its own affair.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::Socket;

use super::reuse;

/// Begins `lives` connections, each to one of `addrs`, and ends most of them. Those that are left
/// when it returns, at most [`OPEN`], end with the process.
pub(super) fn run(addrs: &[SocketAddr], lives: u32, seed: u64) -> Result<Vec<Socket>> {
    let mut chance = Chance(seed);
    let mut open: Vec<Socket> = Vec::new();
    let mut begun = 0;
    while begun < lives {
        let addr = *chance.pick(addrs).context("lives need an address")?;
        if open.len() < OPEN && (open.is_empty() || chance.below(3) == 0) {
            let (socket, _returned) = reuse::start(addr)?;
            socket.set_nonblocking(true)?;
            open.push(socket);
            begun += 1;
            continue;
        }
        let at = chance.below(open.len());
        let Some(mut socket) = open.get(at) else { continue };
        // What fails has been ended by the other side, which is part of life.
        match chance.below(10) {
            0..3 => drop(socket.write(b"ping\n")),
            3..6 => drop(socket.read(&mut [0; 16])),
            6 => drop(socket.shutdown(Shutdown::Write)),
            7 => {
                drop(reuse::restart(socket, addr));
                begun += 1;
            }
            8 => {
                socket.set_linger(Some(Duration::ZERO))?;
                drop(open.swap_remove(at));
            }
            _ => drop(open.swap_remove(at)),
        }
    }
    Ok(open)
}

/// splitmix64, public domain by its author.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// The most connections open at once.
const OPEN: usize = 64;
