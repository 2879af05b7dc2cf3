//! Ctrl-C, noticed between rounds.
//!
//! Invariant: the signal itself does nothing but leave a note, so every value is still dropped.
#![expect(unsafe_code, reason = "signal handlers have no wrapper in the standard library")]

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};

/// From now on SIGINT and SIGTERM are only noted.
pub(super) fn watch() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let handler: extern "C" fn(libc::c_int) = note;
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Fails once a signal was noted.
pub(super) fn check() -> Result<()> {
    ensure!(!NOTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

extern "C" fn note(_signal: libc::c_int) {
    NOTED.store(true, Ordering::Relaxed);
}

static NOTED: AtomicBool = AtomicBool::new(false);
