//! Embeds the BPF object, if it has been built, so that one binary is the whole product.
//!
//! Without it the crate still builds: the daemon then refuses to start and names the command that
//! builds the object.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT_VARIABLE}");
    let object = env::var_os(OBJECT_VARIABLE).map_or_else(default_object, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes = fs::read(&object).unwrap_or_default();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("shedder.bpf.o"), bytes).expect("cargo's output directory is writable");
}

fn default_object() -> PathBuf {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    manifest.join("../target/bpf/shedder.bpf.o")
}

const OBJECT_VARIABLE: &str = "SHEDDER_BPF_OBJECT";
