//! Putting another program in the place of one that is attached.
//!
//! Invariant: at every moment the old program or the new one runs for the cgroup, never both and never
//! none: the kernel exchanges them with one store.

#![expect(unsafe_code, reason = "a system call nobody wraps for these programs")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Lets the link that is pinned at `path` run `program`.
pub(super) fn relink(path: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let link = open(path)?;
    let update = LinkUpdate {
        link: descriptor(link.as_raw_fd()),
        program: descriptor(program.as_raw_fd()),
        flags: 0,
        old_program: 0,
    };
    bpf(BPF_LINK_UPDATE, &update).map(drop)
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let get = ObjectGet { path: path.as_ptr().addr() as u64, descriptor: 0, flags: 0 };
    let opened = bpf(BPF_OBJ_GET, &get)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    // SAFETY: `attributes` is the beginning of the union this command reads, and its size is given.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    i32::try_from(outcome).ok().filter(|outcome| *outcome >= 0).ok_or_else(io::Error::last_os_error)
}

/// As the kernel wants them.
fn descriptor(descriptor: i32) -> u32 {
    descriptor.cast_unsigned()
}

/// What `union bpf_attr` has for [`BPF_OBJ_GET`].
#[repr(C)]
struct ObjectGet {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// What `union bpf_attr` has for [`BPF_LINK_UPDATE`].
#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// From `enum bpf_cmd`.
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_LINK_UPDATE: libc::c_long = 29;
