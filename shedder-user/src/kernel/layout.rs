//! Where this kernel keeps the fields the programs read, from its own type information.

use std::path::Path;

use btf_rs::{Btf, Type};

/// Where the kernel publishes its types.
pub(super) const VMLINUX_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Why a field could not be located.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The kernel publishes no types.
    #[error("the kernel has no BTF at {VMLINUX_BTF}; it needs CONFIG_DEBUG_INFO_BTF=y")]
    Missing,
    /// They cannot be read.
    #[error("the kernel's BTF cannot be read: {0}")]
    Unreadable(#[from] btf_rs::Error),
    /// They do not have the field.
    #[error("the kernel's BTF has no {structure}.{field}")]
    NoField {
        /// The structure looked for.
        structure: &'static str,
        /// Its field.
        field: &'static str,
    },
}

/// Byte offset of `sk_err` in `struct sock`.
pub(super) fn sk_err_offset() -> Result<u32, LayoutError> {
    if !Path::new(VMLINUX_BTF).exists() {
        return Err(LayoutError::Missing);
    }
    let btf = Btf::from_file(VMLINUX_BTF)?;
    offset_of(&btf, "sock", "sk_err")
}

fn offset_of(btf: &Btf, structure: &'static str, field: &'static str) -> Result<u32, LayoutError> {
    for candidate in btf.resolve_types_by_name(structure)? {
        let Type::Struct(candidate) = candidate else { continue };
        for member in &candidate.members {
            if btf.resolve_name(member).is_ok_and(|name| name == field) {
                return Ok(member.bit_offset() / 8);
            }
        }
    }
    Err(LayoutError::NoField { structure, field })
}
