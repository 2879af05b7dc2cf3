//! bpf-linker at the pinned version, together with an LLVM library it can load.
//!
//! Invariant: the linker it hands out has linked something in this very environment. Asking for
//! its version proves nothing: it loads LLVM only when it links, and panics when it finds none.

use std::env;
use std::fs;
use std::io::{ErrorKind, IsTerminal, stderr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};

use super::{BPF_LINKER_VERSION, LLVM_MAJOR, RUST_MINIMUM};
use crate::paths;
use crate::process;
use crate::step::{self, Change, Done};
use crate::toolchain::Toolchain;

/// The linker and where it finds LLVM.
#[derive(Clone, Debug)]
pub(crate) struct BpfLinker {
    /// The program.
    pub(crate) program: PathBuf,
    /// What `LD_LIBRARY_PATH` has to be while it runs.
    pub(crate) library_path: PathBuf,
}

/// Find the pinned linker or install it, and see it link.
pub(super) fn ensure(rust: &Toolchain, compiler_llvm: u32) -> Result<Done<BpfLinker>> {
    let (owner, library) = llvm_library(rust)?;
    let library_path = directory_with_only(&library)?;
    let (program, change) = match find() {
        Some(program) => (program, Change::None),
        None => (install()?, Change::Installed),
    };
    let linker = BpfLinker { program, library_path };
    try_linking(&linker)?;
    let detail = format!(
        "{BPF_LINKER_VERSION}, loads LLVM {LLVM_MAJOR} of the {owner} toolchain and reads the \
         compiler's LLVM {compiler_llvm}"
    );
    Ok(Done { value: linker, change, detail })
}

/// An LLVM of the right major version: the compiler's own when it is, else another toolchain's.
fn llvm_library(rust: &Toolchain) -> Result<(String, PathBuf)> {
    std::iter::once(rust.clone())
        .chain(Toolchain::all())
        .find_map(|toolchain| {
            let library = toolchain.llvm_library(LLVM_MAJOR)?;
            Some((toolchain.name, library))
        })
        .with_context(|| {
            format!(
                "bpf-linker {BPF_LINKER_VERSION} loads the library of LLVM {LLVM_MAJOR} and no \
                 toolchain here has it\ninstall one that does with one of\n  \
                 rustup toolchain install {RUST_MINIMUM} --profile minimal\n  \
                 sudo apt-get install -y libllvm{LLVM_MAJOR}\nand run this again"
            )
        })
}

/// A directory that has this library and no other.
///
/// The linker loads the first `libLLVM*` it finds along `LD_LIBRARY_PATH`, and a toolchain's
/// directory may have several. The name is one no program asks for: with its real name the
/// library would also replace the LLVM of the compiler, which inherits the same variable.
fn directory_with_only(library: &Path) -> Result<PathBuf> {
    let directory = paths::bpf_target_dir().join("llvm");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let link = directory.join("libLLVM-for-bpf-linker.so");
    if fs::read_link(&link).is_ok_and(|target| target == library) {
        return Ok(directory);
    }
    match fs::remove_file(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", link.display()));
        }
        Ok(()) | Err(_) => {}
    }
    symlink(library, &link).with_context(|| format!("cannot make {}", link.display()))?;
    Ok(directory)
}

/// The pinned version, in cargo's own directory or on `PATH`.
fn find() -> Option<PathBuf> {
    candidates().find(|program| version(program).is_some_and(|found| found == BPF_LINKER_VERSION))
}

fn candidates() -> impl Iterator<Item = PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let install_root = env::var_os("CARGO_INSTALL_ROOT").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).collect();
    install_root
        .into_iter()
        .chain(cargo_home)
        .map(|directory| directory.join("bin"))
        .chain(on_path)
        .map(|directory| directory.join("bpf-linker"))
        .filter(|program| process::is_executable(program))
}

fn version(program: &Path) -> Option<String> {
    let said = process::capture(Command::new(program).arg("--version")).ok()?;
    said.split_whitespace().nth(1).map(str::to_owned)
}

fn install() -> Result<PathBuf> {
    let replaces = candidates()
        .find_map(|program| version(&program))
        .map(|other| format!(" in place of {other}"))
        .unwrap_or_default();
    step::announce(&format!(
        "installing bpf-linker {BPF_LINKER_VERSION}{replaces} with cargo: about a minute"
    ));
    let mut command = process::host_cargo();
    command.args(["install", "bpf-linker", "--version", BPF_LINKER_VERSION, "--locked"]);
    if !stderr().is_terminal() {
        command.arg("--quiet");
    }
    process::run(command.env_remove("CARGO_TARGET_DIR")).map_err(|error| {
        anyhow!(
            "bpf-linker {BPF_LINKER_VERSION}, which makes one BPF object out of the compiler's \
             bitcode, is missing and cannot be installed: {error:#}\n\
             install it with\n  cargo install bpf-linker --version {BPF_LINKER_VERSION} --locked\n\
             (it is downloaded from crates.io) and run this again"
        )
    })?;
    find().context("cargo installed bpf-linker, but not where cargo programs are looked for")
}

/// Link the smallest program there is.
fn try_linking(linker: &BpfLinker) -> Result<()> {
    let source = linker.library_path.join("smallest.ll");
    let object = linker.library_path.join("smallest.o");
    if !source.exists() {
        fs::write(&source, "define i32 @smallest() { ret i32 0 }\n")
            .with_context(|| format!("cannot write {}", source.display()))?;
    }
    let mut command = Command::new(&linker.program);
    command.env("LD_LIBRARY_PATH", &linker.library_path).arg("--target=bpf");
    command.arg("--output").args([&object, &source]).env_remove("RUST_BACKTRACE");
    process::capture(&mut command).with_context(|| {
        format!(
            "{} cannot link; if it was not built with its default features, run\n  \
             cargo install bpf-linker --version {BPF_LINKER_VERSION} --locked --force\n\
             and this again; what it said",
            linker.program.display()
        )
    })?;
    ensure!(object.exists(), "{} linked nothing and did not say why", linker.program.display());
    Ok(())
}
