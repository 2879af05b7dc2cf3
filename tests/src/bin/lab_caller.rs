//! The process behind [`shedder_tests::caller::Caller`].
//!
//! Invariant: it makes no socket before its first order, and ends when its standard input does.

use std::io::{stdin, stdout};

fn main() -> anyhow::Result<()> {
    shedder_tests::caller::worker::serve(stdin().lock(), stdout().lock())
}
