//! Measuring what shedder costs.
//!
//! Invariant: whatever is compared was measured in turn, by the same process on the same CPU, and
//! everything made for it is gone at the end, on Ctrl-C too.

pub mod budget;
pub mod connect;
pub mod engine;
pub mod peers;
pub mod server;

mod ground;
mod machine;
mod membership;
mod own_programs;
mod progress;
