//! `cargo xtask miri`: the pure code under an interpreter that knows what Rust forbids.
//!
//! Invariant: what is run needs no kernel, file or network; what is drawn by chance is drawn a few times only.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::step::{self, Stopwatch};
use crate::toolchain::{self, Toolchain};
use crate::{paths, process};

/// The chore.
pub(crate) fn run() -> Result<()> {
    let (rustup, nightly) = nightly()?;
    for (package, tests) in TESTS {
        let watch = Stopwatch::start();
        // By way of rustup, because Miri is several programs that look for each other.
        let mut command = Command::new(&rustup);
        command
            .current_dir(paths::root())
            .args(["run", &nightly.name, "cargo", "miri", "test", "--lib", "--package", package])
            .arg("--")
            .args(tests)
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("CARGO_TARGET_DIR", paths::target_dir().join("miri"))
            .env("MIRIFLAGS", FLAGS)
            .env("PROPTEST_CASES", CASES);
        for variable in process::names_of_package_variables() {
            command.env_remove(variable);
        }
        process::run(&mut command).with_context(|| format!("Miri complains about {package}"))?;
        step::tagged(step::GREEN, "ok", &format!("{package}: nothing undefined  {watch}"));
    }
    Ok(())
}

/// A nightly toolchain with Miri, and the rustup that runs it.
fn nightly() -> Result<(std::path::PathBuf, Toolchain)> {
    let Some(rustup) = toolchain::rustup() else { bail!("there is no rustup here; {ADVICE}") };
    let nightly = Toolchain::all().into_iter().find(|it| it.name.starts_with("nightly"));
    let nightly = nightly.with_context(|| format!("there is no nightly toolchain; {ADVICE}"))?;
    ensure!(nightly.has_sources(), "the toolchain {} has no sources; {ADVICE}", nightly.name);
    let has_miri = process::is_executable(&nightly.program("cargo-miri"));
    ensure!(has_miri, "the toolchain {} has no Miri; {ADVICE}", nightly.name);
    Ok((rustup, nightly))
}

const ADVICE: &str =
    "install it with\n  rustup toolchain install nightly --component miri --component rust-src";
/// Packages, and which of their tests. The engine's properties play so many days that one of them takes an hour
/// here, and the scenarios that learn from thousands of looks a quarter of that; the others come through the same code.
const TESTS: [(&str, &[&str]); 2] = [
    ("shedder-common", &[]),
    (
        "shedder-user",
        &[
            "engine::",
            "recording::bytes",
            "verdict_row::",
            "daemon::unfinished::",
            "--skip",
            "engine::properties",
            "--skip",
            "strategies::p95_rise",
            "--skip",
            "strategies::slo_drift",
            "--skip",
            "nothing_is_learned_while_much_fails",
        ],
    ),
];
/// Else powers differ in their last digits from one call to the next, and what is reckoned twice with them too.
const FLAGS: &str = "-Zmiri-disable-isolation -Zmiri-deterministic-floats";
/// Tests drawn by chance look at their environment for how often.
const CASES: &str = "2";
