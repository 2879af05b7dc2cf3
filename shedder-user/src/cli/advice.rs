//! What a policy cannot do although it seems to, and how soon it can do the rest.

use std::path::Path;
use std::time::Duration;

use crate::config::{Binding, Config};
use crate::engine::BestCase;

/// What a policy cannot do although it seems to.
pub(super) fn warnings(file: &Path, config: &Config) -> Vec<String> {
    config.bindings.iter().flat_map(|binding| of_policy(file, binding)).collect()
}

fn of_policy(file: &Path, binding: &Binding) -> Vec<String> {
    let policy = &binding.policy;
    let (line, column) = binding.place;
    let place = format!("{}:{line}:{column}: warning: policy {}", file.display(), policy.name);
    let mut warnings = Vec::new();
    if let Some(target) = binding.target {
        match policy.best_case() {
            None => warnings.push(format!(
                "{place}: no rule can shed, whatever its target of {target:?}; add trip.consecutive, or set then = \"open\""
            )),
            Some(best) if best.time > target => warnings.push(format!(
                "{place}: its target is {target:?}, and its rules take {} at best; shorten a window, lower a share, or add trip.consecutive",
                amount(best)
            )),
            Some(_) => {}
        }
    }
    warnings
}

/// For people.
pub(super) fn amount(best: BestCase) -> String {
    let attempts = match best.attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    };
    if best.time == Duration::ZERO { attempts } else { format!("{:?} and {attempts}", best.time) }
}
