//! Memory that only the start of the daemon takes.
//!
//! Invariant: what is given back was free already.
#![expect(unsafe_code, reason = "the allocator is not asked otherwise")]

/// Gives free memory back to the kernel. Loading the programs goes through all types of the kernel, which
/// takes some 25 MB that are never needed again, and that the allocator would keep (AT-13).
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
