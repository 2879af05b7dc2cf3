//! The kernel ABI of shedder: every value that crosses between the BPF programs and the daemon,
//! and the one decision both sides share.
//!
//! Layout rules, checked by the `const` blocks beside each type: fixed-width integers and byte
//! arrays only, no implicit padding, 64-bit fields at multiples of eight. Addresses and ports are
//! bytes in network order. Times are nanoseconds of `CLOCK_MONOTONIC`, the clock
//! `bpf_ktime_get_ns` reads.
//!
//! This crate knows no map, file or clock.
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "compiled into BPF programs, where the verifier follows inlined code best"
)]

pub mod breaker;
pub mod caller;
pub mod counters;
pub mod decision;
pub mod dirty;
pub mod ending;
pub mod endpoint;
pub mod errno;
pub mod event;
pub mod histogram;
pub mod in_flight;
pub mod map;
pub mod protocol;
pub mod tag;
pub mod time;
pub mod verdict;

/// Version of everything in this crate that the kernel keeps. It changes whenever a layout or the
/// meaning of a field does.
pub const ABI_VERSION: u32 = 10;
