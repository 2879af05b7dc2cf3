//! `cargo xtask setup`: makes a bare machine able to build the BPF programs and to test them.
//!
//! Invariant: it changes the machine only where something is missing, and what it cannot install
//! it names, with the command and the reason.

mod bpf_linker;
mod cargo_tool;
mod chromium;
mod clippy;
pub(crate) mod debian;
mod envoy;
mod prometheus;
mod rotel;
mod rust_src;
mod servers;
mod test_tools;
mod wheel;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::step::Report;
use crate::toolchain::Toolchain;

pub(crate) use bpf_linker::BpfLinker;
pub(crate) use cargo_tool::CargoTool;
pub(crate) use clippy::bpf_clippy;
pub(crate) use test_tools::ensure as ensure_test_tools;
pub(crate) use test_tools::ensure_for_chaos as ensure_chaos_tools;
pub(crate) use test_tools::ensure_for_peers as ensure_peers;

/// What compiles and links BPF programs.
#[derive(Debug)]
pub(crate) struct BpfTools {
    /// A toolchain with the sources of the core library.
    pub(crate) rust: Toolchain,
    /// The linker, and the LLVM it loads.
    pub(crate) linker: BpfLinker,
}

/// The chore: install everything that any other chore needs.
pub(crate) fn run() -> Result<()> {
    let problems: Vec<String> =
        [bpf_tools(Report::Everything).map(drop), ensure_test_tools(Report::Everything)]
            .into_iter()
            .filter_map(|part| part.err().map(|error| format!("{error:#}")))
            .collect();
    if problems.is_empty() {
        return Ok(());
    }
    bail!("this machine is not ready\n\n{}", problems.join("\n\n"))
}

/// What building the BPF programs needs, installed when it is missing.
pub(crate) fn bpf_tools(report: Report) -> Result<BpfTools> {
    let (rust, compiler) = report.step("rust-src", rust_src::ensure)?;
    let linker = report.step("bpf-linker", || bpf_linker::ensure(&rust, compiler.llvm_major))?;
    Ok(BpfTools { rust, linker })
}

/// The toolchain with the sources of the core library, installed when there is none.
pub(crate) fn source_toolchain(report: Report) -> Result<Toolchain> {
    report.step("rust-src", rust_src::ensure).map(|(rust, _)| rust)
}

/// The pinned linker. Later versions drop the feature for [`LLVM_MAJOR`].
const BPF_LINKER_VERSION: &str = "0.10.3";
/// The LLVM the pinned linker loads: it reads bitcode of this major version and older ones.
const LLVM_MAJOR: u32 = 22;
/// How long rustup may take: where there is no network it may wait for ever.
const RUSTUP_LIMIT: Duration = Duration::from_mins(3);
/// The oldest Rust the workspace builds with.
const RUST_MINIMUM: &str = env!("CARGO_PKG_RUST_VERSION");
