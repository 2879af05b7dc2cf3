//! Where this kernel keeps the fields the programs read, from its own type information.

use std::fs;
use std::io;
use std::path::Path;

use super::btf::{self, BtfError};

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
    Unreadable(#[from] io::Error),
    /// They are not as expected.
    #[error("the kernel's BTF at {VMLINUX_BTF} is not understood: {0}")]
    Strange(#[from] BtfError),
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
    let (structure, field) = ("sock", "sk_err");
    let bits = btf::bit_offset(&fs::read(VMLINUX_BTF)?, structure, field)?;
    bits.map(|bits| bits / 8).ok_or(LayoutError::NoField { structure, field })
}
