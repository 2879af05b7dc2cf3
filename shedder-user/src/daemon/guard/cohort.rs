//! Which cgroups a policy acts for that acts only for some percent of them.
//!
//! Invariant: a cgroup's cohort is the same for as long as its node and its path are, so a greater
//! percentage acts for all that a smaller one acted for.

use std::fs;

use crate::daemon::fnv;

/// What tells this node from others, so that one percent of a fleet is not the same cgroup everywhere:
/// the machine's id, or its name where it has none.
pub(super) fn node() -> String {
    let first = |path| fs::read_to_string(path).ok().filter(|text| !text.trim().is_empty());
    let node = first("/etc/machine-id").or_else(|| first("/proc/sys/kernel/hostname"));
    node.unwrap_or_default().trim().to_owned()
}

/// The hundredth of all cgroups that this one belongs to: from 0 to 99.
pub(super) fn cohort(node: &str, path: &str) -> u16 {
    let text = node.bytes().chain([0]).chain(path.bytes());
    // Then the finalizer of SplitMix64, because FNV leaves neighbours near each other.
    let hash = fnv::hash(text);
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let hundredth = (hash ^ hash >> 31) % 100;
    u16::try_from(hundredth).expect("less than a hundred")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cohorts_are_for_ever() {
        let of = |path| cohort("b08dfa6083e7567a1921a715000001fb", path);
        // Whoever changes one of these moves cgroups from those acted for to those spared.
        assert_eq!(
            ["/a", "/system.slice/web-1.service", "/system.slice/web-2.service"].map(of),
            [95, 8, 54]
        );
    }

    #[test]
    fn cohorts_are_even() {
        let mut counts = [0_u32; 100];
        for number in 0..100_000 {
            counts[usize::from(cohort("node", &format!("/web-{number}.service")))] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
        let on_nodes = (0..10_000).filter(|node| cohort(&node.to_string(), "/web.service") < 5);
        assert!((400..600).contains(&on_nodes.count()));
    }
}
