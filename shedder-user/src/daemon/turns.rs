//! How soon the loop gets a processor when the kernel wakes it.
//!
//! Invariant: it asks for shorter turns, not for more of them, so nobody else gets less of the processor.
#![expect(unsafe_code, reason = "two system calls that nobody wraps")]

use std::io;
use std::mem::zeroed;

use libc::sched_attr;
use tracing::debug;

/// Asks for short turns for the calling thread. Whoever takes short turns is let in before somebody else has
/// ended a long one, which is 3 ms by default (Linux 6.12); a kernel before that takes no notice.
pub(super) fn ask_for_short() {
    ask("short turns", short);
}

/// Has the calling thread wait for the turn of whoever runs when it is woken, that of the loop before all, which is
/// who wakes it.
pub(super) fn interrupt_nobody() {
    ask("waiting for turns of others", waiting);
}

const fn short(attributes: &mut sched_attr) {
    attributes.sched_runtime = TURN_NS;
}

const fn waiting(attributes: &mut sched_attr) {
    attributes.sched_policy = libc::SCHED_BATCH.cast_unsigned();
}

fn ask(what: &str, change: fn(&mut sched_attr)) {
    match try_ask(change) {
        Ok(()) => debug!(what, "asked the scheduler"),
        // Then verdicts come when they come.
        Err(error) => debug!(%error, what, "cannot ask the scheduler"),
    }
}

fn try_ask(change: fn(&mut sched_attr)) -> io::Result<()> {
    let mut attributes = attributes()?;
    // Somebody who chose another way of scheduling for it knows why.
    if attributes.sched_policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    change(&mut attributes);
    // SAFETY: the structure is valid and says how long it is; zero is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Those of the calling thread.
fn attributes() -> io::Result<sched_attr> {
    // SAFETY: numbers only, of which all zeroes are valid.
    let mut attributes: sched_attr = unsafe { zeroed() };
    let size = u32::try_from(size_of_val(&attributes)).map_err(io::Error::other)?;
    // SAFETY: the structure is valid for the size given, and zero is the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.size = size;
    Ok(attributes)
}

/// Twice what the loop takes from being woken to waiting again, because whoever has used up a turn when the tick
/// comes waits for the end of somebody else's. The shorter it is, the more often it ends that of somebody else first.
const TURN_NS: u64 = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each on a thread of its own, and as anybody.
    #[test]
    fn anybody_may_ask() {
        let policy_after = |change: fn(&mut sched_attr)| {
            let asking = move || {
                try_ask(change).expect("the kernel has both calls");
                attributes().expect("it has told before").sched_policy
            };
            std::thread::spawn(asking).join().expect("no panic")
        };
        assert_eq!(policy_after(short), libc::SCHED_OTHER.cast_unsigned());
        assert_eq!(policy_after(waiting), libc::SCHED_BATCH.cast_unsigned());
    }
}
