//! Where a cgroup stands among those that are guarded: nobody may be guarded twice.
//!
//! Invariant: pure, and as quick among thousands as among a few.

use std::collections::BTreeMap;

/// How a path relates to those chosen already.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Free,
    /// It, or a cgroup around it, belongs to the same caller: children inherit.
    Covered,
    /// It, or a cgroup around or inside it, belongs to another caller.
    Contested(String),
}

/// Looks at the cgroups around a path and at the first inside it, not at all there are: every path is
/// placed at every search for new ones.
pub(super) fn place<T>(
    chosen: &BTreeMap<String, T>,
    owner: impl Fn(&T) -> usize,
    path: &str,
    caller: usize,
) -> Place {
    let above = path.rmatch_indices('/').map(|(end, _)| &path[..end]);
    for around in std::iter::once(path).chain(above) {
        match chosen.get(around) {
            Some(found) if owner(found) == caller => return Place::Covered,
            Some(_) => return Place::Contested(around.to_owned()),
            None => {}
        }
    }
    let inside = format!("{path}/");
    let mut after = chosen.range(inside.clone()..);
    match after.next().filter(|(other, _)| other.starts_with(&inside)) {
        Some((other, _)) => Place::Contested(other.clone()),
        None => Place::Free,
    }
}

/// Whether `path` is `parent` or below it.
pub(super) fn is_inside(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(chosen: &BTreeMap<String, usize>, path: &str, caller: usize) -> Place {
        place(chosen, |owner| *owner, path, caller)
    }

    #[test]
    fn children_are_covered_and_strangers_contested() {
        let chosen = BTreeMap::from([("/web.slice".to_owned(), 0), ("/db".to_owned(), 1)]);
        assert_eq!(at(&chosen, "/web.slice/a", 0), Place::Covered);
        assert_eq!(at(&chosen, "/web.slice/a", 1), Place::Contested("/web.slice".to_owned()));
        assert_eq!(at(&chosen, "/web.slices", 1), Place::Free);
        assert_eq!(at(&chosen, "/db", 1), Place::Covered);
        assert_eq!(
            at(&BTreeMap::from([("/a/b".to_owned(), 0)]), "/a", 0),
            Place::Contested("/a/b".to_owned())
        );
    }

    /// What one comes to by looking at all of them.
    fn place_among_all(chosen: &BTreeMap<String, usize>, path: &str, caller: usize) -> Place {
        for (other, owner) in chosen {
            if is_inside(path, other) && *owner == caller {
                return Place::Covered;
            }
            if is_inside(path, other) || is_inside(other, path) {
                return Place::Contested(other.clone());
            }
        }
        Place::Free
    }

    fn paths() -> impl Strategy<Value = String> {
        prop::collection::vec("[ab.]{1,2}", 1..4).prop_map(|names| format!("/{}", names.join("/")))
    }

    proptest! {
        #[test]
        fn a_place_is_the_one_among_all(
            found in prop::collection::vec((paths(), 0..2_usize), 0..8),
            path in paths(),
            caller in 0..2_usize,
        ) {
            // As cgroups are chosen: none lies inside another.
            let mut chosen = BTreeMap::new();
            let mut found = found;
            found.sort();
            for (path, owner) in found {
                if at(&chosen, &path, owner) == Place::Free {
                    chosen.insert(path, owner);
                }
            }
            prop_assert_eq!(at(&chosen, &path, caller), place_among_all(&chosen, &path, caller));
        }
    }
}
