//! `cargo xtask test`: every test there is.
//!
//! Invariant: it passes only when every test ran; a test that cannot run here is a failure.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::checklist::Checklist;
use crate::host::{self, Profile};
use crate::process;
use crate::step::Report;
use crate::{setup, tidy};

/// The chore. `filter` and `test_args` go to `cargo test`.
pub(crate) fn run(filter: Option<&str>, test_args: &[OsString]) -> Result<()> {
    let mut list = Checklist::default();
    let tools = list.check("test tools", || setup::ensure_test_tools(Report::OnlyChanges));
    let built = list.check("build", || host::build_all(Profile::Debug));
    let root = process::is_root();
    match (built, root) {
        (false, _) => list.skip("tests", "the build failed"),
        (true, true) if !tools => list.skip("tests", "test tools are missing"),
        (true, true) => {
            list.check("tests", || cargo_test(&[], filter, test_args));
        }
        (true, false) => {
            list.check("unit and property tests", || {
                cargo_test(&["--exclude", "shedder-tests"], filter, test_args)
            });
            list.check("kernel tests", refuse_without_root);
        }
    }
    list.check("tidy", tidy::run);
    list.finish()
}

fn cargo_test(exclude: &[&str], filter: Option<&str>, test_args: &[OsString]) -> Result<()> {
    let mut command = process::host_cargo();
    command
        .args(["test", "--workspace", "--exclude", "shedder-ebpf", "--no-fail-fast"])
        .args(exclude)
        .args(filter);
    if !test_args.is_empty() {
        command.arg("--").args(test_args);
    }
    process::run(&mut command)
}

fn refuse_without_root() -> Result<()> {
    bail!(
        "kernel tests load programs into the kernel, which needs root\n\
         run them with\n  sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask test"
    )
}
