//! Many threads of one process that call at the same moment.
//!
//! Invariant: every thread has ended when the crowd is over, so that the process may fork again.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::kind::Kind;
use super::report::Call;
use super::tcp;

/// Lets `threads` threads make one call each, at once.
pub(super) fn crowd(addr: SocketAddr, threads: u32, timeout: Duration) -> Result<Vec<Call>> {
    let barrier = Barrier::new(usize::try_from(threads)?);
    let call = || {
        barrier.wait();
        tcp::call(addr, &Kind::Blocking, timeout)
    };
    thread::scope(|scope| {
        let mut running = Vec::new();
        for _ in 0..threads {
            running.push(scope.spawn(call));
        }
        let join = |thread: ScopedJoinHandle<'_, _>| {
            let call = thread.join().map_err(|_panic| anyhow!("a thread of a crowd panicked"))?;
            Ok(call?)
        };
        running.into_iter().map(join).collect()
    })
}
