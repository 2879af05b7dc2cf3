//! `bpf(2)`, as far as it takes to attach a program to a cgroup in every way there is.
//!
//! Invariant: what the kernel opened is closed again, whatever comes of it.
#![expect(unsafe_code, reason = "aya attaches in the two ways only that let others be")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};

use super::instruction::Instruction;
use crate::attached::Hook;

/// From the flags of `BPF_PROG_ATTACH`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Manner {
    Exclusive = 0,
    Overridable = 1,
    Multi = 2,
}

/// Has the kernel verify a program. What the verifier says against it is in the error.
pub(super) fn load(kind: u32, hook: Hook, instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let mut said = vec![0_u8; 64 * 1024];
    let attributes = Load {
        kind,
        instructions: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        code: instructions.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
        log_level: 1,
        log_bytes: 64 * 1024,
        log: said.as_mut_ptr().addr() as u64,
        kernel_version: 0,
        flags: 0,
        name: *b"lab_foreign\0\0\0\0\0",
        interface: 0,
        attach_type: if kind == SOCKET_OPERATIONS { 0 } else { hook as u32 },
    };
    open(BPF_PROG_LOAD, &attributes).map_err(|error| {
        let said = String::from_utf8_lossy(&said);
        io::Error::other(format!("{error}: {}", said.trim_end_matches('\0')))
    })
}

pub(super) fn link(program: &OwnedFd, cgroup: &File, hook: Hook) -> io::Result<OwnedFd> {
    let attributes = [descriptor(program), descriptor(cgroup), hook as u32, 0];
    open(BPF_LINK_CREATE, &attributes)
}

pub(super) fn attach(
    program: &OwnedFd,
    cgroup: &File,
    hook: Hook,
    manner: Manner,
) -> io::Result<()> {
    let attributes = [descriptor(cgroup), descriptor(program), hook as u32, manner as u32];
    bpf(BPF_PROG_ATTACH, &attributes).map(drop)
}

pub(super) fn detach(program: &OwnedFd, cgroup: &File, hook: Hook) -> io::Result<()> {
    let attributes = [descriptor(cgroup), descriptor(program), hook as u32, 0];
    bpf(BPF_PROG_DETACH, &attributes).map(drop)
}

/// The number of a program.
pub(super) fn id(program: &OwnedFd) -> io::Result<u32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
    let id = id.and_then(|id| id.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("the kernel does not tell the number of a program"))
}

fn descriptor(of: &impl AsFd) -> u32 {
    of.as_fd().as_raw_fd().cast_unsigned()
}

fn open<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let opened = bpf(command, attributes)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    // SAFETY: `attributes` is the beginning of the union this command reads, its size is given, and what
    // it points to outlives the call.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const *attributes, size_of::<T>()) };
    i32::try_from(outcome).ok().filter(|outcome| *outcome >= 0).ok_or_else(io::Error::last_os_error)
}

/// What `union bpf_attr` has for [`BPF_PROG_LOAD`].
#[repr(C)]
struct Load {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_bytes: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// From `enum bpf_cmd`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_DETACH: libc::c_long = 9;
const BPF_LINK_CREATE: libc::c_long = 28;
/// From `enum bpf_prog_type`: the kind whose programs name no hook when they are loaded.
const SOCKET_OPERATIONS: u32 = 13;
