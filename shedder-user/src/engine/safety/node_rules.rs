//! What all breakers of a node together may do.

/// Limits for the node as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRules {
    /// New trips within a minute.
    pub trips_per_minute: u32,
    /// Connects refused within a second.
    pub refusals_per_second: u64,
    /// The share of a caller's connects that may be refused over a minute, in thousandths.
    pub caller_refused_permille: u16,
    /// The share of the services in use, in thousandths, that must go bad at once for the fault to
    /// be taken for the node's own.
    pub suspect_permille: u16,
}

impl Default for NodeRules {
    fn default() -> Self {
        Self {
            trips_per_minute: 10,
            refusals_per_second: 10_000,
            caller_refused_permille: 500,
            suspect_permille: 500,
        }
    }
}
