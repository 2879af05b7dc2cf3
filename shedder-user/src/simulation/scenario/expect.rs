//! What must come of a scenario under its own policy.

use std::time::Duration;

/// The bounds; whatever is not set is not checked.
#[derive(Clone, Debug, Default)]
pub(in crate::simulation) struct Expect {
    /// Nothing is shed at all.
    pub(in crate::simulation) never_sheds: bool,
    /// From the start of the first fault to the first connect shed by it.
    pub(in crate::simulation) first_shed: Option<Duration>,
    pub(in crate::simulation) leaked_at_most: Option<u64>,
    pub(in crate::simulation) leaked_before_shed_at_most: Option<u64>,
    pub(in crate::simulation) false_refusals_at_most: Option<u64>,
    pub(in crate::simulation) opens_after_end_at_most: Option<u64>,
    pub(in crate::simulation) opens_at_least: Option<u64>,
    pub(in crate::simulation) opens_at_most: Option<u64>,
    pub(in crate::simulation) flaps_at_most: Option<u64>,
    /// From the end of the last fault.
    pub(in crate::simulation) recovered_within: Option<Duration>,
    /// From the end of the last fault.
    pub(in crate::simulation) admitted_within: Option<Duration>,
    pub(in crate::simulation) in_flight_at_most: Option<u64>,
    pub(in crate::simulation) success_at_least: Option<f64>,
    pub(in crate::simulation) success_during_at_least: Option<f64>,
    /// Index of the service and the share.
    pub(in crate::simulation) service_success_at_least: Vec<(usize, f64)>,
    /// Cells that must be shed; each entry is met by any of its cells.
    pub(in crate::simulation) sheds: Vec<(String, Vec<usize>)>,
    /// Cells that must not be.
    pub(in crate::simulation) spares: Vec<(String, Vec<usize>)>,
}
