//! Clippy for the BPF programs, of the toolchain that compiles them.
//!
//! Invariant: only `cargo xtask lint` needs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{RUSTUP_LIMIT, debian};
use crate::process;
use crate::step::{self, Change, Done, Report};
use crate::toolchain::{self, Toolchain};

/// The `cargo-clippy` of this toolchain, installed when it is missing.
pub(crate) fn bpf_clippy(rust: &Toolchain, report: Report) -> Result<PathBuf> {
    report.step("clippy for BPF", || ensure_clippy(rust))
}

fn ensure_clippy(rust: &Toolchain) -> Result<Done<PathBuf>> {
    let program = rust.program("cargo-clippy");
    let detail = format!("{} toolchain", rust.name);
    if process::is_executable(&program) {
        return Ok(Done { value: program, change: Change::None, detail });
    }
    if rust.sysroot == Path::new("/usr") {
        debian::install(&["rust-web-clippy"], "installing Debian's clippy").context(
            "clippy for the BPF programs is missing: \
             install it with `sudo apt-get install -y rust-web-clippy`",
        )?;
    } else {
        let advice = format!("rustup component add clippy --toolchain {}", rust.name);
        let missing = || format!("clippy for the BPF programs is missing: run `{advice}`");
        let rustup = toolchain::rustup().with_context(missing)?;
        step::announce("installing clippy with rustup");
        let mut command = Command::new(rustup);
        command.args(["component", "add", "clippy", "--toolchain", &rust.name]);
        process::run_bounded(command.env_remove("RUST_BACKTRACE"), RUSTUP_LIMIT)
            .with_context(missing)?;
    }
    ensure!(process::is_executable(&program), "the install brought no {}", program.display());
    Ok(Done { value: program, change: Change::Installed, detail })
}
