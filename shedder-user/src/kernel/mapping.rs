//! A BPF array mapped into this process: reading a counter or writing a verdict is one memory
//! access, no system call.
//!
//! The kernel writes these rows while they are read. Every access is therefore a volatile or
//! atomic access to whole machine words, and no reference to a row is ever made.

#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use aya::maps::MapData;
use bytemuck::Pod;
use memmap2::{MmapOptions, MmapRaw};

#[derive(Debug)]
pub(super) struct Mapping<T> {
    memory: MmapRaw,
    rows: u32,
    row: PhantomData<T>,
}

impl<T: Pod> Mapping<T> {
    /// Maps an array of `rows` values made with `BPF_F_MMAPABLE`.
    pub(super) fn new(map: &MapData, rows: u32) -> std::io::Result<Self> {
        // The kernel rounds a row up to eight bytes; ours are multiples of it.
        const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() >= 8) };
        let length = size_of::<T>() * rows as usize;
        let memory = MmapOptions::new().len(length).map_raw(map.fd().as_fd().as_raw_fd())?;
        Ok(Self { memory, rows, row: PhantomData })
    }

    /// Rows there are.
    pub(super) const fn rows(&self) -> u32 {
        self.rows
    }

    /// A row as it is now. Its fields may be of slightly different moments, but each of up to eight bytes is
    /// one that was there: a copy made by `memcpy` may be made byte by byte.
    pub(super) fn read(&self, row: u32) -> T {
        let (from, mut copy) = (self.at(row).cast::<u64>(), T::zeroed());
        let into = (&raw mut copy).cast::<u64>();
        for word in 0..size_of::<T>() / size_of::<u64>() {
            // SAFETY: an aligned word of a row inside the mapping, shared with the kernel; and one of a row
            // of our own, which takes any bits.
            unsafe {
                let seen = AtomicU64::from_ptr(from.wrapping_add(word)).load(Ordering::Relaxed);
                into.wrapping_add(word).write(seen);
            }
        }
        copy
    }

    /// Replaces a row. Only for rows no program looks at yet.
    pub(super) fn write(&mut self, row: u32, value: T) {
        // SAFETY: `at` gives an aligned row inside the mapping.
        unsafe { self.at(row).write_volatile(value) }
    }

    /// Stores one 64-bit field of a row so that a program sees the old value or the new one.
    pub(super) fn store(&mut self, row: u32, offset: usize, value: u64) {
        let field: *mut u64 = self.field(row, offset);
        // SAFETY: an aligned word of a row inside the mapping, shared with the kernel.
        unsafe { AtomicU64::from_ptr(field) }.store(value, Ordering::Release);
    }

    /// Adds to a 64-bit counter that programs add to as well.
    pub(super) fn add(&mut self, row: u32, offset: usize, value: u64) {
        let field: *mut u64 = self.field(row, offset);
        // SAFETY: an aligned word of a row inside the mapping, shared with the kernel.
        unsafe { AtomicU64::from_ptr(field) }.fetch_add(value, Ordering::Relaxed);
    }

    /// Takes one from a 64-bit gauge, unless there is none.
    pub(super) fn subtract(&mut self, row: u32, offset: usize) {
        let field: *mut u64 = self.field(row, offset);
        // SAFETY: an aligned word of a row inside the mapping, shared with the kernel.
        let gauge = unsafe { AtomicU64::from_ptr(field) };
        let one_less = |value: u64| value.checked_sub(1);
        let _was_zero = gauge.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    /// As [`Mapping::subtract`], for a 32-bit gauge.
    pub(super) fn subtract_u32(&mut self, row: u32, offset: usize) {
        let field: *mut u32 = self.field(row, offset);
        // SAFETY: an aligned part of a row inside the mapping, shared with the kernel.
        let gauge = unsafe { AtomicU32::from_ptr(field) };
        let one_less = |value: u32| value.checked_sub(1);
        let _was_zero = gauge.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }

    /// As [`Mapping::store`], for a 32-bit field.
    pub(super) fn store_u32(&mut self, row: u32, offset: usize, value: u32) {
        let field: *mut u32 = self.field(row, offset);
        // SAFETY: an aligned word of a row inside the mapping, shared with the kernel.
        unsafe { AtomicU32::from_ptr(field) }.store(value, Ordering::Release);
    }

    /// As [`Mapping::store`], for a 16-bit field.
    pub(super) fn store_u16(&mut self, row: u32, offset: usize, value: u16) {
        let field: *mut u16 = self.field(row, offset);
        // SAFETY: an aligned part of a row inside the mapping, shared with the kernel.
        unsafe { AtomicU16::from_ptr(field) }.store(value, Ordering::Release);
    }

    /// Where a field of a row lies, in units of itself.
    fn field<F>(&self, row: u32, offset: usize) -> *mut F {
        let is_inside = offset + size_of::<F>() <= size_of::<T>();
        assert!(is_inside && offset.is_multiple_of(size_of::<F>()), "no field at offset {offset}");
        self.at(row).cast::<F>().wrapping_add(offset / size_of::<F>())
    }

    /// Where a row lies. Rows are numbered by slots, which the slot table keeps in range.
    fn at(&self, row: u32) -> *mut T {
        assert!(row < self.rows, "row {row} of a map with {} rows", self.rows);
        self.memory.as_mut_ptr().cast::<T>().wrapping_add(row as usize)
    }
}

impl Mapping<u64> {
    /// A row as it is now, which is zero from then on. Most are zero already and are only read.
    pub(super) fn take(&mut self, row: u32) -> u64 {
        // SAFETY: an aligned word inside the mapping, shared with the kernel.
        let word = unsafe { AtomicU64::from_ptr(self.at(row)) };
        if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::SeqCst) }
    }
}
