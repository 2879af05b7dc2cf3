//! What the programs know of the caller whose cgroup they run in.

use bytemuck::{Pod, Zeroable};

/// Kept with each cgroup the connect programs are attached to: the one thing every connect reads.
/// What only few callers ask for is said here, so that the others do not pay for it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct CallerRow {
    /// The caller's id; zero until the daemon has stored it.
    pub id: u32,
    /// What its policies ask of the connect programs beyond TCP by address and port: a set of bits.
    pub asks: u16,
    /// Which hundredth of all cgroups this one belongs to, from zero: a verdict that acts for some
    /// percent of them acts for those below.
    pub cohort: u16,
}

/// Whether what acts for some percent of all cgroups acts for those of this [`CallerRow::cohort`].
#[inline(always)]
pub const fn is_reached(cohort: u16, percent: u8) -> bool {
    cohort < percent as u16
}

/// Set in [`CallerRow::asks`]: some of its endpoints are told apart by network namespace.
pub const ASKS_NETWORKS: u16 = 2;
/// Set in [`CallerRow::asks`]: there is no room for further endpoints of this caller, so they need not be
/// announced.
pub const ASKS_QUIET: u16 = 4;
/// Set in [`CallerRow::asks`]: a service of this caller wants its verdicts obeyed by UDP too.
pub const ASKS_UDP: u16 = 1;

const _: () = assert!(size_of::<CallerRow>() == 8);
