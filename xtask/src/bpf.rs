//! Building the BPF programs into the one object the daemon embeds.
//!
//! Invariant: the object's file changes only when its bytes do, so that the daemon is built again
//! only when its programs are different.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths;
use crate::process;
use crate::setup::BpfTools;
use crate::step;
use crate::toolchain::Toolchain;

/// Build the object.
pub(crate) fn build(tools: &BpfTools) -> Result<()> {
    let mut command = cargo(&tools.rust, &tools.rust.program("cargo"));
    let linker_variable =
        format!("CARGO_TARGET_{}_LINKER", TARGET.replace('-', "_").to_uppercase());
    command
        .env(linker_variable, &tools.linker.program)
        .env("LD_LIBRARY_PATH", &tools.linker.library_path)
        .arg("build")
        .arg("--release");
    process::run(with_target(&mut command)).context("the BPF programs do not build")?;

    let built = paths::bpf_target_dir().join(TARGET).join("release/shedder-ebpf");
    let object = paths::bpf_object();
    let (size, changed) = copy_when_different(&built, &object)?;
    let state = if changed { "new" } else { "unchanged" };
    step::plain(&format!("{}: {size} bytes, {state}", paths::relative(&object).display()));
    Ok(())
}

/// Run clippy over the BPF programs, for the BPF target.
pub(crate) fn clippy(rust: &Toolchain, cargo_clippy: &Path) -> Result<()> {
    let mut command = cargo(rust, cargo_clippy);
    command.env("CARGO", rust.program("cargo")).arg("clippy");
    process::run(with_target(&mut command).args(["--", "-D", "warnings"]))
}

/// A command of this toolchain, free of what cargo and rustup set for xtask itself.
fn cargo(rust: &Toolchain, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root());
    for name in process::names_of_package_variables() {
        command.env_remove(name);
    }
    for name in ["CARGO", "CARGO_BUILD_TARGET", "LD_LIBRARY_PATH", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    command
        .env("RUSTC", rust.program("rustc"))
        // A compiler that is no nightly takes `-Z build-std` only with this.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(rust).join("\x1f"));
    command
}

fn with_target(command: &mut Command) -> &mut Command {
    command
        .args(["--package", "shedder-ebpf", "--target", TARGET, "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(paths::bpf_target_dir())
}

/// Full debug info is what BTF is made of, and maps with typed values need BTF. It names source files: by
/// names that are the same wherever it is built, so that the same source makes the same bytes.
fn flags(rust: &Toolchain) -> [String; 6] {
    let called =
        |path: PathBuf, name: &str| format!("--remap-path-prefix={}={name}", path.display());
    [
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("--cfg=bpf_target_arch=\"{ARCH}\""),
        called(paths::root().to_owned(), "shedder"),
        called(paths::cargo_home().join("registry/src"), "crates"),
        called(rust.sysroot.join("lib/rustlib/src/rust"), "rust"),
    ]
}

/// Copy, but leave an equal file alone; the size in bytes, and whether it changed.
fn copy_when_different(from: &Path, to: &Path) -> Result<(usize, bool)> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == bytes) {
        return Ok((bytes.len(), false));
    }
    let unfinished = to.with_extension("unfinished");
    fs::write(&unfinished, &bytes)
        .and_then(|()| fs::rename(&unfinished, to))
        .with_context(|| format!("cannot write {}", to.display()))?;
    Ok((bytes.len(), true))
}

/// The programs run in this machine's kernel, so they have its byte order.
const TARGET: &str =
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_object_is_left_alone() {
        let directory = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        fs::create_dir(&directory).expect("a fresh directory");
        let (from, to) = (directory.join("from"), directory.join("to.o"));
        fs::write(&from, b"one").expect("written");
        assert_eq!(copy_when_different(&from, &to).expect("copied"), (3, true));
        assert_eq!(copy_when_different(&from, &to).expect("compared"), (3, false));
        fs::write(&from, b"other").expect("written");
        assert_eq!(copy_when_different(&from, &to).expect("copied"), (5, true));
        assert_eq!(fs::read(&to).expect("there"), b"other");
        fs::remove_dir_all(&directory).expect("removed");
    }
}
