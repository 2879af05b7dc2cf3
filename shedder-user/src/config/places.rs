//! Indices that mean the same in a configuration and in the one that takes its place.
//!
//! Invariant: an index never means two callers, or two services, at once: what is gone keeps its
//! place, empty, and only a later configuration gives that out again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Caller, Config, Service};
use crate::engine::Policy;

impl Config {
    /// Puts callers and services where those of the same names are in `running`, and takes over the
    /// policies that are the same. The others are of this `generation`.
    pub(crate) fn taking_over(mut self, running: &Self, generation: u32) -> Self {
        let callers = Places::of(&self.callers, &running.callers);
        let services = Places::of(&self.services, &running.services);
        for binding in &mut self.bindings {
            binding.caller = callers.0[binding.caller];
            binding.service = services.0[binding.service];
            let is_same = |pair: (usize, usize)| pair == (binding.caller, binding.service);
            let before = running.bindings.iter().find(|it| is_same((it.caller, it.service)));
            let known = before.map(|before| &before.policy);
            let known = known.filter(|known| known.has_rules_of(&binding.policy));
            binding.policy = match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(Policy { generation, ..(*binding.policy).clone() }),
            };
        }
        self.callers = callers.arrange(self.callers, &running.callers);
        self.services = services.arrange(self.services, &running.services);
        self
    }
}

/// Something with a place of its own.
pub(super) trait Named: Clone {
    fn name(&self) -> &str;

    /// A place that is nobody's any more.
    fn vacated(&self) -> Self;

    fn is_vacant(&self) -> bool;
}

impl Named for Caller {
    fn name(&self) -> &str {
        &self.name
    }

    fn vacated(&self) -> Self {
        Self { name: self.name.clone(), cgroups: Vec::new() }
    }

    fn is_vacant(&self) -> bool {
        self.cgroups.is_empty()
    }
}

impl Named for Service {
    fn name(&self) -> &str {
        &self.name
    }

    fn vacated(&self) -> Self {
        Self { endpoints: Vec::new(), fallback: Vec::new(), ..self.clone() }
    }

    fn is_vacant(&self) -> bool {
        self.endpoints.is_empty()
    }
}

/// The new place of each.
struct Places(Vec<usize>);

impl Places {
    fn of<T: Named>(new: &[T], running: &[T]) -> Self {
        let known: BTreeMap<&str, usize> =
            running.iter().enumerate().map(|(place, it)| (it.name(), place)).collect();
        let is_wanted = |name: &str| new.iter().any(|it| it.name() == name);
        let vacant = running.iter().enumerate();
        let vacant = vacant.filter(|(_, it)| it.is_vacant() && !is_wanted(it.name()));
        let mut free = vacant.map(|(place, _)| place).chain(running.len()..);
        let place = |it: &T| known.get(it.name()).copied().or_else(|| free.next());
        Self(new.iter().filter_map(place).collect())
    }

    fn arrange<T: Named>(&self, new: Vec<T>, running: &[T]) -> Vec<T> {
        let mut arranged: Vec<T> = running.iter().map(Named::vacated).collect();
        // Those that come after the running ones come in rising order.
        for (place, it) in self.0.iter().zip(new) {
            match arranged.get_mut(*place) {
                Some(vacated) => *vacated = it,
                None => arranged.push(it),
            }
        }
        arranged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with these callers, each calling each of these services.
    fn config(callers: &[&str], services: &[(&str, u16)], rules: &str) -> Config {
        let caller =
            |name: &&str| format!("[[caller]]\nname = \"{name}\"\ncgroups = [\"/{name}\"]\n");
        let service = |(name, port): &(&str, u16)| {
            format!("[[service]]\nname = \"{name}\"\nendpoints = [\"10.0.0.1:{port}\"]\n")
        };
        let policies = callers.iter().flat_map(|caller| {
            services.iter().map(move |(service, _)| {
                format!("[[policy]]\ncaller = \"{caller}\"\nservice = \"{service}\"\n{rules}\n")
            })
        });
        let text: String = callers
            .iter()
            .map(caller)
            .chain(services.iter().map(service))
            .chain(policies)
            .collect();
        Config::parse("f", &text).expect("good")
    }

    fn names(config: &Config) -> Vec<(&str, bool)> {
        config.callers.iter().map(|it| (it.name.as_str(), it.is_vacant())).collect()
    }

    #[test]
    fn names_keep_their_places_in_whatever_order_they_come() {
        let running = config(&["a", "b"], &[("x", 1), ("y", 2)], "");
        let next = config(&["b", "c", "a"], &[("y", 2), ("x", 1)], "").taking_over(&running, 2);
        assert_eq!(names(&next), [("a", false), ("b", false), ("c", false)]);
        assert_eq!(next.services, running.services);
        let first = &next.bindings[0];
        assert_eq!((first.caller, first.service), (1, 1));
        assert_eq!(first.policy.name, "b:y");
    }

    #[test]
    fn a_place_rests_for_one_reload_before_it_is_given_out_again() {
        let running = config(&["a", "b"], &[("x", 1)], "");
        let second = config(&["b", "c"], &[("x", 1)], "").taking_over(&running, 2);
        assert_eq!(names(&second), [("a", true), ("b", false), ("c", false)]);
        let third = config(&["d", "b", "e"], &[("x", 1)], "").taking_over(&second, 3);
        assert_eq!(names(&third), [("d", false), ("b", false), ("c", true), ("e", false)]);
        let back = config(&["c", "b"], &[("x", 1)], "").taking_over(&third, 4);
        assert_eq!(names(&back), [("d", true), ("b", false), ("c", false), ("e", true)]);
    }

    #[test]
    fn policies_that_are_the_same_stay_what_they_are() {
        let running = config(&["a"], &[("x", 1), ("y", 2)], "");
        let same = config(&["a"], &[("y", 2), ("x", 1)], "").taking_over(&running, 2);
        assert!(Arc::ptr_eq(&same.bindings[0].policy, &running.bindings[1].policy));
        let other = config(&["a"], &[("x", 1)], "mode = \"enforce\"").taking_over(&running, 2);
        assert_eq!(other.bindings[0].policy.generation, 2);
    }
}
