//! How soon the loop gets a processor when the kernel wakes it.
//!
//! Invariant: it asks for shorter turns, not for more of them, so nobody else gets less of the processor.
#![expect(unsafe_code, reason = "two system calls that nobody wraps")]

use std::io;
use std::mem::zeroed;

use tracing::debug;

/// Asks for short turns for the calling thread. Whoever takes short turns is let in before somebody else has
/// ended a long one, which is 3 ms by default (Linux 6.12); a kernel before that takes no notice.
pub(super) fn ask_for_short() {
    match try_ask() {
        Ok(()) => debug!(turn_ns = TURN_NS, "asked for short turns on the processor"),
        // Then verdicts come when they come.
        Err(error) => debug!(%error, "cannot ask for short turns on the processor"),
    }
}

fn try_ask() -> io::Result<()> {
    // SAFETY: numbers only, of which all zeroes are valid.
    let mut attributes: libc::sched_attr = unsafe { zeroed() };
    let size = u32::try_from(size_of_val(&attributes)).map_err(io::Error::other)?;
    // SAFETY: the structure is valid for the size given, and zero is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // Somebody who chose another way of scheduling for it knows why.
    if attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    attributes.size = size;
    attributes.sched_runtime = TURN_NS;
    // SAFETY: the structure is valid and says how long it is.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The shortest turn the kernel gives. A decision takes a tenth of it.
const TURN_NS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own, and as anybody.
    #[test]
    fn anybody_may_ask() {
        std::thread::spawn(|| try_ask().expect("the kernel has both calls"))
            .join()
            .expect("no panic");
    }
}
