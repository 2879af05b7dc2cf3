//! Everything that reads bytes somebody else wrote, each as a function a fuzzer feeds with bytes.
//!
//! Invariant: a target ends whatever it is given, and panics only where the code breaks its word. It is
//! built for tests, which replay what a fuzzer has found, and for the fuzzer itself (`--cfg fuzzing`).

mod config;
mod control;
mod input;
mod recording;

#[cfg(test)]
mod tests;

pub(crate) use self::input::Input;
use crate::daemon;

/// One reader of strange bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `cargo xtask fuzz` and the directories under `tests/fuzz/corpus` call it.
    pub name: &'static str,
    /// Reads the bytes. Panics where it finds a fault.
    pub run: fn(&[u8]),
}

impl Target {
    /// The target called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}

/// All there are.
pub const TARGETS: [Target; 5] = [
    Target { name: "config", run: config::run },
    Target { name: "control", run: control::run },
    Target { name: "journal", run: daemon::fuzz_journal },
    Target { name: "recording", run: recording::run },
    Target { name: "ring", run: daemon::fuzz_ring },
];
