//! Ctrl-C and its relatives, as a flag to look at between two steps.
//!
//! Invariant: the handler does nothing but store a number, so a program always ends by returning,
//! and everything it made is dropped on the way.
#![expect(unsafe_code, reason = "signal handlers have no wrapper in the standard library")]

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// From now on SIGINT, SIGTERM and SIGHUP only set the flag.
pub(crate) fn watch() -> Result<()> {
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler stores to an atomic, which is allowed at any moment.
        let before = unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        if before == libc::SIG_ERR {
            return Err(io::Error::last_os_error()).context("cannot watch for signals");
        }
    }
    Ok(())
}

/// Fails once a signal has come.
pub(crate) fn check() -> Result<()> {
    if received().is_some() {
        bail!("interrupted");
    }
    Ok(())
}

/// The signal that explains a failure, if one does. A terminal sends Ctrl-C to every process of
/// its group at once, so another one may be seen to end before this one has been told.
pub(crate) fn behind_failure() -> Option<i32> {
    for _ in 0..10 {
        if let Some(signal) = received() {
            return Some(signal);
        }
        thread::sleep(Duration::from_millis(10));
    }
    received()
}

fn received() -> Option<i32> {
    Some(RECEIVED.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

extern "C" fn note(signal: libc::c_int) {
    RECEIVED.store(signal, Ordering::Relaxed);
}

static RECEIVED: AtomicI32 = AtomicI32::new(0);
