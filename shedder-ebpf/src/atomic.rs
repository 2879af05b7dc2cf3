//! Atomic addition, which `core` lacks for this target.
//!
//! Written as instructions on purpose: a relaxed `atomic_xadd` whose result is used is compiled to
//! an addition that returns nothing, and every token would be refused.

use core::arch::asm;

/// Adds to a counter that other CPUs add to as well.
///
/// # Safety
///
/// `counter` points into a map value and is aligned to eight bytes.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, value: u64) {
    // SAFETY: the caller vouches for the pointer; the instruction touches these eight bytes only.
    unsafe {
        asm!("lock *(u64 *)({pointer} + 0) += {value}", pointer = in(reg) counter, value = in(reg) value);
    }
}

/// As [`add`], for a histogram bucket.
///
/// # Safety
///
/// `counter` points into a map value and is aligned to four bytes.
#[inline(always)]
pub unsafe fn add_u32(counter: *mut u32, value: u32) {
    // SAFETY: the caller vouches for the pointer; the instruction touches these four bytes only.
    unsafe {
        asm!("lock *(u32 *)({pointer} + 0) += {value}", pointer = in(reg) counter, value = in(reg) u64::from(value));
    }
}

/// Sets bits that other CPUs set and the daemon clears.
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub unsafe fn or(word: *mut u64, bits: u64) {
    // SAFETY: the caller vouches for the pointer; the instruction touches these eight bytes only.
    unsafe {
        asm!("lock *(u64 *)({pointer} + 0) |= {bits}", pointer = in(reg) word, bits = in(reg) bits);
    }
}

/// Adds to a counter and returns what it was before.
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub unsafe fn fetch_add(counter: *mut u64, value: u64) -> u64 {
    let previous: u64;
    // SAFETY: the caller vouches for the pointer; the instruction touches these eight bytes only.
    unsafe {
        asm!(
            "{value} = atomic_fetch_add((u64 *)({pointer} + 0), {value})",
            pointer = in(reg) counter,
            value = inout(reg) value => previous,
        );
    }
    previous
}

/// Puts a value in the place of another and returns that one. Needs Linux 5.12, as [`fetch_add`].
///
/// # Safety
///
/// `place` is writable and aligned to eight bytes.
#[inline(always)]
pub unsafe fn exchange(place: *mut u64, value: u64) -> u64 {
    let previous: u64;
    // SAFETY: the caller vouches for the pointer; the instruction touches these eight bytes only.
    unsafe {
        asm!(
            "{value} = xchg_64({pointer} + 0, {value})",
            pointer = in(reg) place,
            value = inout(reg) value => previous,
        );
    }
    previous
}

/// Puts a value in the place of the one expected; whether that was there. Needs Linux 5.12, as [`fetch_add`].
///
/// # Safety
///
/// As for [`exchange`].
#[inline(always)]
pub unsafe fn compare_exchange(place: *mut u64, expected: u64, value: u64) -> bool {
    let previous: u64;
    // SAFETY: the caller vouches for the pointer; the instruction touches these eight bytes only.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({pointer} + 0, r0, {value})",
            pointer = in(reg) place,
            value = in(reg) value,
            inout("r0") expected => previous,
        );
    }
    previous == expected
}

/// Keeps the compiler from knowing what it proved about `value`, so that the bounds check after it
/// stays in the program for the verifier to see.
#[inline(always)]
pub fn opaque(value: u32) -> u32 {
    let mut value = u64::from(value);
    // SAFETY: a move of a register to itself. Without any instruction the line information would
    // name one place twice, which the kernel refuses.
    unsafe { asm!("{0} = {0}", inout(reg) value) };
    #[expect(clippy::cast_possible_truncation, reason = "it came as 32 bits")]
    let value = value as u32;
    value
}
