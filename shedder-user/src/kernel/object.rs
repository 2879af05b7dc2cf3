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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Else another checkout would make other bytes of the same source.
    #[test]
    fn the_object_names_no_place_of_this_machine() {
        let object = bytes().expect("it was built");
        let names = |text: &str| object.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(names("shedder-ebpf/src/connect.rs"), "it names its source");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a checkout");
        assert!(!names(&root.to_string_lossy()), "{}", root.display());
        for part in ["/registry/src/", "/rustlib/src/", ".cargo/", ".rustup/"] {
            assert!(!names(part), "{part}");
        }
    }
}
