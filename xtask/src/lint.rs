//! `cargo xtask lint`: everything a review should not have to say.
//!
//! Invariant: it needs no BPF object, only compilers.

use anyhow::Result;

use crate::checklist::Checklist;
use crate::process;
use crate::step::{self, Report};
use crate::{bpf, setup, tidy};

/// The chore.
pub(crate) fn run() -> Result<()> {
    let mut list = Checklist::default();
    list.check("format", || process::run(process::host_cargo().args(FORMAT)));
    list.check("clippy", || process::run(process::host_cargo().args(CLIPPY)));
    lint_bpf(&mut list);
    list.check("documentation", || {
        process::run(process::host_cargo().args(DOCUMENTATION).env("RUSTDOCFLAGS", "-D warnings"))
    });
    list.check("tidy", tidy::run);
    list.finish()
}

/// A machine that can build the programs need not have a clippy for them.
fn lint_bpf(list: &mut Checklist) {
    let found = setup::source_toolchain(Report::OnlyChanges)
        .and_then(|rust| Ok((setup::bpf_clippy(&rust, Report::OnlyChanges)?, rust)));
    match found {
        Ok((cargo_clippy, rust)) => {
            list.check("clippy for BPF", || bpf::clippy(&rust, &cargo_clippy));
        }
        Err(error) => {
            step::note(&format!("{error:#}"));
            list.skip("clippy for BPF", "this machine has no clippy for it (see the note above)");
        }
    }
}

const FORMAT: [&str; 4] = ["fmt", "--all", "--", "--check"];
const CLIPPY: [&str; 8] =
    ["clippy", "--workspace", "--exclude", "shedder-ebpf", "--all-targets", "--", "-D", "warnings"];
const DOCUMENTATION: [&str; 5] = ["doc", "--workspace", "--exclude", "shedder-ebpf", "--no-deps"];
