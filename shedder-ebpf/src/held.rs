//! How many connects are held on the node at once.
//!
//! Counted from the moment the kernel begins to connect, because from then on it tells of the end. A
//! socket that is counted says so in its tag, so that it is taken back once.

use crate::maps::NODE;
use crate::tag::{HOLD_NONE, Tag};
use crate::{atomic, node};

/// Counts a hold that begins; where too many are held already, the connect goes through at once.
#[inline(always)]
pub fn begin(tag: &mut Tag) {
    let Some(node) = NODE.get_ptr_mut(0) else { return };
    // SAFETY: the one row of the node array, whose fields are aligned.
    let (held, most) = unsafe {
        let most = (&raw const (*node).max_held).read_volatile();
        (atomic::fetch_add(&raw mut (*node).held, 1), most)
    };
    if held < most {
        tag.is_held = 1;
        return;
    }
    // SAFETY: as above.
    unsafe { atomic::add(&raw mut (*node).held, MINUS_ONE) };
    tag.hold = HOLD_NONE;
    node::count(|node| &raw mut node.holds_over);
}

/// Takes back what [`begin`] counted.
#[inline(always)]
pub fn end(tag: &mut Tag) {
    if tag.is_held == 0 {
        return;
    }
    tag.is_held = 0;
    if let Some(node) = NODE.get_ptr_mut(0) {
        // SAFETY: the one row of the node array, whose fields are aligned.
        unsafe { atomic::add(&raw mut (*node).held, MINUS_ONE) };
    }
}

/// Added to an unsigned gauge it takes one away.
const MINUS_ONE: u64 = u64::MAX;
