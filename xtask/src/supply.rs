//! `cargo xtask supply`: what the product is made of, and whether we may and should use it.
//!
//! Invariant: a check that could not be made fails the chore; it never passes for want of a network.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::checklist::Checklist;
use crate::paths;
use crate::process;
use crate::setup::CargoTool;
use crate::step;

/// The chore.
pub(crate) fn run() -> Result<()> {
    let mut list = Checklist::default();
    // One at a time, so that without a network only that one fails that needs it.
    for check in ["licenses", "bans", "sources"] {
        list.check(check, || deny(check));
    }
    list.check("advisories", || deny("advisories").context(UNREACHABLE));
    list.check("bill of materials", write_bills);
    list.finish()
}

/// By the rules of deny.toml.
fn deny(check: &str) -> Result<()> {
    let program = DENY.ensure()?;
    let mut command = Command::new(program);
    command.args(["--workspace", "--all-features", "check", "--hide-inclusion-graph", check]);
    process::run(command.current_dir(paths::root()))
}

/// One bill for the daemon, one for the programs it loads into the kernel.
fn write_bills() -> Result<()> {
    let directory = paths::target_dir().join("sbom");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let mut command = Command::new(CYCLONEDX.ensure()?);
    command.args(["cyclonedx", "--format", "json", "--spec-version", "1.5", "--all-features"]);
    command.args(["--no-build-deps", "--quiet", "--override-filename", NAME]);
    process::run(command.current_dir(paths::root()))?;
    // It writes one beside every manifest of the workspace.
    for package in ["shedder-common", "tests", "tests/fuzz", "xtask"] {
        drop(fs::remove_file(written(package)));
    }
    for package in PRODUCTS {
        let bill = directory.join(format!("{package}.cdx.json"));
        fs::rename(written(package), &bill)
            .with_context(|| format!("no bill of materials of {package} was written"))?;
        step::tagged(step::GREEN, "written", &bill.display().to_string());
    }
    Ok(())
}

fn written(package: &str) -> PathBuf {
    paths::root().join(package).join(format!("{NAME}.json"))
}

/// What is shipped: the second is inside the first.
const PRODUCTS: [&str; 2] = ["shedder-user", "shedder-ebpf"];
const UNREACHABLE: &str = "an advisory stands against a crate above, or the database of advisories \
     (https://github.com/RustSec/advisory-db) cannot be fetched here: then run this where it can";
const NAME: &str = "bill-of-materials";
const DENY: CargoTool =
    CargoTool { name: "cargo-deny", version: "0.20.2", arguments: &["--debug"] };
const CYCLONEDX: CargoTool =
    CargoTool { name: "cargo-cyclonedx", version: "0.5.9", arguments: &["--debug"] };
