//! Numbers and rows out of a fuzzer's bytes.
//!
//! Invariant: whoever asks gets an answer; where there are no bytes left it is zero.

use bytemuck::Pod;

/// What is left of the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes, or as many as there are.
    pub(crate) fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.row()
    }

    /// A number below `count`, which is not zero.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    pub(crate) fn short(&mut self) -> u16 {
        self.row()
    }

    /// A small number or, by a byte, one of any magnitude.
    pub(crate) fn amount(&mut self) -> u64 {
        let number = u64::from(self.short());
        number << (self.byte() % 49)
    }

    /// A value of the kernel's, whatever its bits.
    pub(crate) fn row<T: Pod>(&mut self) -> T {
        let mut row = T::zeroed();
        let bytes = self.take(size_of::<T>());
        bytemuck::bytes_of_mut(&mut row)[..bytes.len()].copy_from_slice(bytes);
        row
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }
}
