//! Counting what goes wrong on the node itself, in its one row.

use shedder_common::counters::NodeRow;

use crate::atomic;
use crate::maps::NODE;

/// Adds one to the counter of the node's row that `counter` names.
#[inline(always)]
pub fn count(counter: impl FnOnce(&mut NodeRow) -> *mut u64) {
    if let Some(node) = NODE.get_ptr_mut(0) {
        // SAFETY: the one row of the node array; only this field is touched.
        unsafe { atomic::add(counter(&mut *node), 1) };
    }
}
