//! A toolchain with the sources of Rust's core library, which BPF has no binaries of.
//!
//! Invariant: the toolchain it hands out is new enough for the workspace and writes bitcode that
//! the pinned linker can read.

use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{BPF_LINKER_VERSION, LLVM_MAJOR, RUST_MINIMUM, RUSTUP_LIMIT, debian};
use crate::process;
use crate::step::{self, Change, Done};
use crate::toolchain::{self, Compiler, Toolchain, version_numbers};

/// Find such a toolchain, or install one from rustup or else from Debian.
pub(super) fn ensure() -> Result<Done<(Toolchain, Compiler)>> {
    let before = Toolchain::all();
    let mut unusable = match find(&before) {
        Ok(found) => return Ok(done(found, Change::None)),
        Err(unusable) => unusable,
    };
    let mut failures = Vec::new();
    for installer in [Installer::Rustup, Installer::Debian] {
        let (name, attempt) = match installer {
            Installer::Rustup => ("rustup", add_with_rustup(&before)),
            Installer::Debian => ("apt-get", add_from_debian(&before)),
        };
        if let Err(error) = attempt {
            failures.push(format!("  {name}: {error:#}"));
            continue;
        }
        match find(&Toolchain::all()) {
            Ok(found) => return Ok(done(found, Change::Installed)),
            Err(still) => unusable = still,
        }
    }
    Err(advice(&unusable, &failures))
}

enum Installer {
    Rustup,
    Debian,
}

/// The first toolchain that fits; else why each does not.
fn find(toolchains: &[Toolchain]) -> Result<(Toolchain, Compiler), Vec<String>> {
    let mut unusable = Vec::new();
    for toolchain in toolchains {
        match judge(toolchain) {
            Ok(compiler) => return Ok((toolchain.clone(), compiler)),
            Err(error) => unusable.push(format!("  {}: {error:#}", toolchain.name)),
        }
    }
    Err(unusable)
}

fn judge(toolchain: &Toolchain) -> Result<Compiler> {
    ensure!(toolchain.has_sources(), "no sources");
    let compiler = toolchain.compiler()?;
    fits(&compiler)?;
    Ok(compiler)
}

fn fits(compiler: &Compiler) -> Result<()> {
    let Compiler { release, llvm_major } = compiler;
    ensure!(
        compiler.is_at_least(RUST_MINIMUM),
        "rustc {release} is too old, {RUST_MINIMUM} is the oldest that builds this"
    );
    ensure!(
        *llvm_major <= LLVM_MAJOR,
        "rustc {release} writes bitcode of LLVM {llvm_major}, and bpf-linker \
         {BPF_LINKER_VERSION} reads only up to LLVM {LLVM_MAJOR}"
    );
    Ok(())
}

fn done(
    (toolchain, compiler): (Toolchain, Compiler),
    change: Change,
) -> Done<(Toolchain, Compiler)> {
    let detail = format!(
        "{} toolchain (rustc {}, LLVM {})",
        toolchain.name, compiler.release, compiler.llvm_major
    );
    Done { value: (toolchain, compiler), change, detail }
}

/// Sources for the active toolchain when that fits, else a toolchain that does.
fn add_with_rustup(before: &[Toolchain]) -> Result<()> {
    let rustup = toolchain::rustup().context("not installed")?;
    let active = before.first().context("it has no toolchain")?;
    let mut command = Command::new(rustup);
    if active.compiler().and_then(|compiler| fits(&compiler)).is_ok() {
        step::announce("adding the sources of Rust's core library with rustup: a few megabytes");
        command.args(["component", "add", "rust-src", "--toolchain", &active.name]);
    } else {
        step::announce("installing a Rust toolchain that fits with rustup: about 150 megabytes");
        command.args(["toolchain", "install", RUST_MINIMUM, "--profile", "minimal"]);
        command.args(["--component", "rust-src"]);
    }
    process::run_bounded(command.env_remove("RUST_BACKTRACE"), RUSTUP_LIMIT)
}

fn add_from_debian(before: &[Toolchain]) -> Result<()> {
    debian::require_apt()?;
    if !debian_is_new_enough() {
        debian::update()?;
    }
    if !debian_is_new_enough() {
        let offered = debian::candidate("rustc-web").unwrap_or_else(|| "no rustc-web".to_owned());
        bail!("this distribution offers {offered}, not {RUST_MINIMUM} or later");
    }
    debian::install(&PACKAGES, "installing Debian's Rust with its sources: about 300 megabytes")?;
    // Not needed here, but it gives the person `cargo +debian` for building by hand.
    if let Some(rustup) = toolchain::rustup()
        && before.iter().all(|toolchain| toolchain.name != "debian")
    {
        process::run(Command::new(rustup).args(["toolchain", "link", "debian", "/usr"]))?;
    }
    Ok(())
}

fn debian_is_new_enough() -> bool {
    debian::candidate("rustc-web")
        .is_some_and(|version| version_numbers(&version) >= version_numbers(RUST_MINIMUM))
}

fn advice(unusable: &[String], failures: &[String]) -> anyhow::Error {
    anyhow!(
        "no Rust toolchain here can build the BPF programs: there are no binaries of the core \
         library for BPF, so it is built from its sources (rust-src)\n\
         toolchains here:\n{}\ntried:\n{}\ninstall it with one of\n  \
         rustup component add rust-src\n  \
         rustup toolchain install {RUST_MINIMUM} --profile minimal --component rust-src\n  \
         sudo apt-get update && sudo apt-get install -y {}\nand run this again",
        unusable.join("\n"),
        failures.join("\n"),
        PACKAGES.join(" ")
    )
}

const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

#[cfg(test)]
mod tests {
    use super::*;

    fn compiler(release: &str, llvm_major: u32) -> Compiler {
        Compiler { release: release.to_owned(), llvm_major }
    }

    #[test]
    fn a_compiler_fits_between_the_oldest_rust_and_the_newest_llvm() {
        assert!(fits(&compiler("1.95.0", 22)).is_ok());
        assert!(fits(&compiler("1.97.0-nightly", 22)).is_ok());
        let old = fits(&compiler("1.85.0", 19)).expect_err("too old").to_string();
        assert!(old.contains("too old"), "{old}");
        let new = fits(&compiler("1.99.0", 23)).expect_err("too new").to_string();
        assert!(new.contains("reads only up to LLVM 22"), "{new}");
    }
}
