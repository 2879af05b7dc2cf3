//! What takes so long.
//!
//! Invariant: said to people only; a pipe or a file gets results and nothing else.

use std::io::{IsTerminal, stderr};

/// Says what is being measured from now on.
#[expect(clippy::print_stderr, reason = "progress is for the person at the terminal")]
pub(super) fn measuring(what: &str) {
    if stderr().is_terminal() {
        eprintln!("measuring {what} ...");
    }
}
