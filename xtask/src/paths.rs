//! Where things are in the checkout and in the target directory.
//!
//! Invariant: `CARGO_TARGET_DIR` moves everything that is built, and nothing that is source.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the checkout")
}

/// Where cargo puts what it builds for this machine.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(
        || root().join("target"),
        |dir| {
            let dir = PathBuf::from(dir);
            env::current_dir().map_or_else(|_| dir.clone(), |here| here.join(&dir))
        },
    )
}

/// The target directory of the BPF build, apart from the host's so that the two compilers do
/// not throw away each other's work.
pub(crate) fn bpf_target_dir() -> PathBuf {
    target_dir().join("bpf")
}

/// The finished BPF object, which `shedder-user` embeds.
pub(crate) fn bpf_object() -> PathBuf {
    bpf_target_dir().join("shedder.bpf.o")
}

/// Where [`bpf_object`] is unless `CARGO_TARGET_DIR` says otherwise.
pub(crate) fn default_bpf_object() -> PathBuf {
    root().join("target/bpf/shedder.bpf.o")
}

/// Where cargo keeps what it downloads and installs.
pub(crate) fn cargo_home() -> PathBuf {
    let home = || env::home_dir().unwrap_or_default().join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// `path` as a person in the root of the checkout would write it.
pub(crate) fn relative(path: &Path) -> &Path {
    path.strip_prefix(root()).unwrap_or(path)
}
