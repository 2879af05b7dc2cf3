//! What the loader found out about this kernel, frozen before the programs are verified, so that
//! the branches a kernel cannot run are not in its programs.

use aya_ebpf::Global;
use aya_ebpf::helpers::generated::{
    bpf_get_retval, bpf_jiffies64, bpf_ktime_get_ns, bpf_set_retval,
};

use crate::maps::CLOCKS;

/// Offset of `sk_err` in `struct sock`; zero when unknown.
#[unsafe(no_mangle)]
static SK_ERR_OFFSET: Global<u32> = Global::new(0);

/// Whether the kernel has `bpf_set_retval` (5.18).
#[unsafe(no_mangle)]
static HAS_RETURN_VALUE: Global<u8> = Global::new(0);

/// Whether programs log each decision.
#[unsafe(no_mangle)]
static DEBUG: Global<u8> = Global::new(0);

#[inline(always)]
pub fn sk_err_offset() -> u32 {
    SK_ERR_OFFSET.load()
}

#[inline(always)]
pub fn is_debug() -> bool {
    DEBUG.load() != 0
}

/// The error `connect()` returns when this program answers 0. Without the helper it is `EPERM`.
#[inline(always)]
pub fn set_return_value(errno: u8) {
    if HAS_RETURN_VALUE.load() != 0 {
        // SAFETY: the value lies in [-255, 0], inside what every kernel accepts.
        unsafe { bpf_set_retval(-i32::from(errno)) };
    }
}

/// Whether a program before this one has refused the connect already.
#[inline(always)]
pub fn is_refused_already() -> bool {
    // SAFETY: the helper has no precondition.
    HAS_RETURN_VALUE.load() != 0 && unsafe { bpf_get_retval() } != 0
}

#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_ktime_get_ns() }
}

/// Writes the present jiffies and nanoseconds where the loader reads them.
#[inline(always)]
pub fn read_clocks() {
    // SAFETY: the helper has no precondition.
    let jiffies = unsafe { bpf_jiffies64() };
    if CLOCKS.set(0, [jiffies, now_ns()], 0).is_err() {
        // The loader sees zeros, and nothing is held.
    }
}
