//! rotel, a collector of OpenTelemetry, through which the tests send spans and metrics.
//!
//! Invariant: nothing is installed: the wheel on `PyPI` is unpacked in the target directory, and only if it
//! is the one whose hash is written here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::paths;
use crate::process;
use crate::step::{self, Change, Done, Report};

/// Find it, or unpack it.
pub(super) fn ensure(report: Report) -> Result<()> {
    report.step("rotel", ensure_program)
}

fn ensure_program() -> Result<Done<()>> {
    let (program, change) = (program(), Change::None);
    if process::is_executable(&program) {
        return Ok(Done { value: (), change, detail: program.display().to_string() });
    }
    unpack().map_err(|error| {
        anyhow!(
            "the collector rotel is missing: the tests send spans and metrics through it\n\
             tried:\n  pip: {error:#}\n\
             it takes python3 with pip and a network, and libpython3.11 to run (sudo apt-get install -y \
             libpython3.11); run this again"
        )
    })?;
    Ok(Done { value: (), change: Change::Installed, detail: program.display().to_string() })
}

fn unpack() -> Result<()> {
    let directory = directory();
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    step::announce("unpacking PyPI's rotel: about 10 megabytes");
    let wanted = directory.join("wanted.txt");
    fs::write(&wanted, format!("rotel=={VERSION} --hash=sha256:{HASH}\n"))?;
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
    download.args(["--python-version=3.11", "--implementation=cp", "--platform", PLATFORM]);
    download.args(["--require-hashes", "--dest"]).arg(&directory).arg("--requirement").arg(&wanted);
    process::run(&mut download)?;
    let wheel = directory.join(format!("rotel-{VERSION}-cp311-cp311-{PLATFORM}.whl"));
    let mut unzip = Command::new("python3");
    process::run(unzip.args(["-m", "zipfile", "--extract"]).args([&wheel, &directory]))?;
    // A zip keeps no permissions that this tool heeds.
    process::run(Command::new("chmod").arg("+x").arg(program()))?;
    process::run(Command::new(program()).arg("version")).context("it does not run here")?;
    fs::remove_file(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))
}

fn program() -> PathBuf {
    directory().join("rotel/rotel-agent")
}

/// Where the tests look for it.
fn directory() -> PathBuf {
    paths::target_dir().join("tools/rotel")
}

const VERSION: &str = "0.0.1a15";
const PLATFORM: &str = "manylinux_2_34_x86_64";
const HASH: &str = "2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7";
