//! The BPF object inside this binary.

/// The binary was built without its BPF programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this binary has no BPF programs in it: target/bpf/shedder.bpf.o did not exist when it was built; run `cargo xtask build`"
)]
pub struct MissingObject;

/// The object file; empty bytes stand for one that was not built.
pub(super) fn bytes() -> Result<&'static [u8], MissingObject> {
    let bytes = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/shedder.bpf.o"));
    if bytes.is_empty() { Err(MissingObject) } else { Ok(bytes) }
}
