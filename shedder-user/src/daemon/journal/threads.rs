//! What the thread of the journal and the loop have in common, by the names `disk.rs` uses.

pub(super) use std::sync::{Arc, atomic, mpsc};
pub(super) use std::thread;

/// Events that may wait: a few megabytes.
pub(super) const QUEUE: usize = 8192;
