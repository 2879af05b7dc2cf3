//! The lab: real cgroups, backends, callers, wires and network namespaces for the kernel tests,
//! the demo and the benches.
//!
//! Invariant: nothing here is simulated, names are unique to this process, and whatever was made
//! is gone when its value is dropped, so any number of tests can run side by side.

pub mod attached;
pub mod backend;
pub mod bench;
pub mod bounds;
pub mod bpf_fs;
pub mod browser;
pub mod caller;
pub mod cgroup;
pub mod chaos;
pub mod collector;
pub mod daemon;
pub mod demo;
pub mod echo;
pub mod foreign;
pub mod hanging;
pub mod load;
pub mod netns;
pub mod program;
pub mod prometheus;
pub mod recorder;
pub mod rotel;
pub mod soak;
pub mod systemd;
pub mod terminal;
pub mod vitals;
pub mod web;
pub mod wire;

mod chance;
mod clock;
mod interrupt;
mod nobody;
mod promise;
mod readiness;
mod statistics;
