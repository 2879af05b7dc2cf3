//! rotel, a collector of OpenTelemetry, through which the tests send spans and metrics.
//!
//! Invariant: the version and its hash are written here and nowhere else.

use anyhow::Result;

use super::wheel::{self, Wheel};
use crate::step::Report;

/// Find it, or unpack it.
pub(super) fn ensure(report: Report) -> Result<()> {
    wheel::ensure(report, &ROTEL)
}

const ROTEL: Wheel = Wheel {
    package: "rotel",
    version: "0.0.1a15",
    python: "cp311-cp311",
    platform: "manylinux_2_34_x86_64",
    hash: "2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7",
    megabytes: 10,
    program: "rotel/rotel-agent",
    proof: "version",
    directory: "rotel",
    why: "the tests send spans and metrics through it",
    needs: ", and libpython3.11 to run (sudo apt-get install -y libpython3.11)",
};
