//! The Rust toolchains of this machine, with or without rustup.
//!
//! Invariant: a toolchain is known by its directory and used through the programs in it, never
//! through `cargo +name`; so Debian's toolchain under `/usr` works where there is no rustup, and
//! what rustup and cargo put into the environment of this program has no say.

use std::env::consts::ARCH;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

/// One Rust toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// What rustup calls it; `system` when rustup does not know it.
    pub(crate) name: String,
    /// The directory that has its `bin` and `lib`.
    pub(crate) sysroot: PathBuf,
}

/// What a toolchain's compiler says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// The release, such as `1.96.0` or `1.97.0-nightly`.
    pub(crate) release: String,
    /// The major version of the LLVM whose bitcode it writes.
    pub(crate) llvm_major: u32,
}

impl Toolchain {
    /// Every toolchain of this machine: the active one first, then rustup's others, then the
    /// system's own.
    pub(crate) fn all() -> Vec<Self> {
        let mut found = rustup_toolchains();
        if found.is_empty() {
            found.extend(first_on_path());
        }
        if process::is_executable(Path::new("/usr/bin/rustc")) {
            found.push(Self { name: "system".to_owned(), sysroot: PathBuf::from("/usr") });
        }
        without_repeats(found)
    }

    /// One of its programs, such as `cargo`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(name)
    }

    /// Whether it can build the core library for a target that has no binaries of it.
    pub(crate) fn has_sources(&self) -> bool {
        self.sysroot.join("lib/rustlib/src/rust/library/core").is_dir()
    }

    /// Ask its compiler for versions.
    pub(crate) fn compiler(&self) -> Result<Compiler> {
        let said = process::capture(Command::new(self.program("rustc")).arg("-vV"))?;
        parse_compiler(&said)
            .with_context(|| format!("`rustc -vV` of toolchain {} makes no sense", self.name))
    }

    /// The LLVM library of this major version that it brings along, if it does.
    pub(crate) fn llvm_library(&self, major: u32) -> Option<PathBuf> {
        let lib = self.sysroot.join("lib");
        let directories = [
            lib.clone(),
            lib.join(format!("{ARCH}-linux-gnu")),
            lib.join(format!("llvm-{major}/lib")),
            self.sysroot.join("lib64"),
        ];
        directories.iter().find_map(|directory| llvm_library_in(directory, major))
    }
}

/// Whether rustup is here.
pub(crate) fn rustup() -> Option<PathBuf> {
    process::find("rustup")
}

impl Compiler {
    /// Whether its release is at least `minimum`, such as `1.95`.
    pub(crate) fn is_at_least(&self, minimum: &str) -> bool {
        version_numbers(&self.release) >= version_numbers(minimum)
    }
}

/// The leading numbers of a version, for comparing: `1.96.0+dfsg1` is `[1, 96, 0]`.
pub(crate) fn version_numbers(version: &str) -> Vec<u32> {
    let end = version
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(version.len());
    version[..end].split('.').map_while(|number| number.parse().ok()).collect()
}

fn rustup_toolchains() -> Vec<Toolchain> {
    rustup()
        .and_then(|rustup| {
            process::capture(Command::new(rustup).args(["toolchain", "list", "--verbose"])).ok()
        })
        .map(|list| parse_list(&list))
        .unwrap_or_default()
}

/// Lines such as `stable-x86_64-unknown-linux-gnu (active, default) /path/to/it`.
fn parse_list(list: &str) -> Vec<Toolchain> {
    let mut found: Vec<(u8, Toolchain)> = list
        .lines()
        .filter_map(|line| {
            let (description, path) = line.split_at_checked(line.find('/')?)?;
            let name = description.split_whitespace().next()?.to_owned();
            let rank = match description {
                marked if marked.contains("active") || marked.contains("override") => 0,
                marked if marked.contains("default") => 1,
                _ => 2,
            };
            Some((rank, Toolchain { name, sysroot: PathBuf::from(path.trim()) }))
        })
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, toolchain)| toolchain).collect()
}

fn first_on_path() -> Option<Toolchain> {
    let sysroot = process::capture(Command::new("rustc").args(["--print", "sysroot"])).ok()?;
    Some(Toolchain { name: "system".to_owned(), sysroot: PathBuf::from(sysroot.trim()) })
}

/// rustup may have two names for one directory.
fn without_repeats(toolchains: Vec<Toolchain>) -> Vec<Toolchain> {
    let mut kept: Vec<Toolchain> = Vec::new();
    for toolchain in toolchains {
        if kept.iter().all(|other| other.sysroot != toolchain.sysroot) {
            kept.push(toolchain);
        }
    }
    kept
}

fn parse_compiler(said: &str) -> Result<Compiler> {
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let release = field("release:").context("no line `release:`")?.to_owned();
    let llvm = field("LLVM version:").context("no line `LLVM version:`")?;
    let numbers = version_numbers(llvm);
    ensure!(!numbers.is_empty(), "`{llvm}` is no version");
    Ok(Compiler { release, llvm_major: numbers[0] })
}

/// rustup and Debian name it `libLLVM.so.22.1…`; others `libLLVM-22.so`, which in rustup's
/// toolchains is a linker script.
fn llvm_library_in(directory: &Path, major: u32) -> Option<PathBuf> {
    let prefixes = [format!("libLLVM.so.{major}"), format!("libLLVM-{major}")];
    let mut matching: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            prefixes.iter().any(|prefix| name.starts_with(prefix)) && is_shared_object(path)
        })
        .collect();
    matching.sort();
    matching.into_iter().next()
}

fn is_shared_object(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_toolchain_comes_first_and_the_default_second() {
        let list = "nightly-x86_64 /home/a b/nightly\nstable-x86_64 (default)\t/opt/stable\n\
                    debian (active) /usr\nno path here\n";
        let names: Vec<String> = parse_list(list).into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["debian", "stable-x86_64", "nightly-x86_64"]);
        assert_eq!(parse_list(list)[2].sysroot, Path::new("/home/a b/nightly"));
    }

    #[test]
    fn two_names_of_one_directory_are_one_toolchain() {
        let list = parse_list("stable (active) /opt/stable\n1.95.0 /opt/stable\n");
        assert_eq!(without_repeats(list).len(), 1);
    }

    #[test]
    fn the_compiler_says_its_release_and_llvm() {
        let said = "rustc 1.96.0 (abc 2026-05-25)\nbinary: rustc\nhost: x\nrelease: 1.96.0\n\
                    LLVM version: 22.1.8\n";
        let compiler = parse_compiler(said).expect("complete");
        assert_eq!(compiler, Compiler { release: "1.96.0".to_owned(), llvm_major: 22 });
        assert!(compiler.is_at_least("1.95") && !compiler.is_at_least("1.97"));
        assert!(parse_compiler("release: 1.96.0\n").is_err());
    }

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(version_numbers("1.96.0+dfsg1-1~deb12u2"), [1, 96, 0]);
        assert!(version_numbers("1.100.0-nightly") > version_numbers("1.95"));
        assert!(version_numbers("(none)") < version_numbers("1.95"));
    }
}
