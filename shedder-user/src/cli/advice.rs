//! What a policy cannot do although it seems to, and how soon it can do the rest.

use std::path::Path;
use std::time::Duration;

use crate::config::{Binding, Config};
use crate::engine::{BestCase, Measure, Policy, Signal, Strategy};

/// What a policy cannot do although it seems to.
pub(super) fn warnings(file: &Path, config: &Config) -> Vec<String> {
    config.bindings.iter().flat_map(|binding| of_policy(file, binding)).collect()
}

fn of_policy(file: &Path, binding: &Binding) -> Vec<String> {
    let policy = &binding.policy;
    let place = format!("{}:{}: warning: policy {}", file.display(), binding.line, policy.name);
    let mut warnings: Vec<String> = policy
        .strategies()
        .filter_map(missing_evidence)
        .map(|what| format!("{place}: nothing measures {what} yet; the rule never holds"))
        .collect();
    if let Some(target) = binding.target {
        match best_case(policy) {
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

/// The best case of the rules whose evidence is collected.
pub(super) fn best_case(policy: &Policy) -> Option<BestCase> {
    let mut policy = policy.clone();
    policy.trip.retain(|trip| trip.rule.strategies().all(|part| missing_evidence(part).is_none()));
    policy.best_case()
}

/// What a rule looks at that the kernel programs of this version do not measure.
const fn missing_evidence(strategy: &Strategy) -> Option<&'static str> {
    match strategy {
        Strategy::Latency { signal: Signal::Rtt, .. }
        | Strategy::SlowShare { signal: Signal::Rtt, .. }
        | Strategy::Outlier { measure: Measure::Latency(Signal::Rtt, _), .. } => Some("rtt"),
        Strategy::RetransmitShare { .. } => Some("retransmits"),
        Strategy::InFlight { .. } => Some("connections in flight"),
        Strategy::Consecutive { .. }
        | Strategy::FailureShare { .. }
        | Strategy::Latency { .. }
        | Strategy::SlowShare { .. }
        | Strategy::Apdex { .. }
        | Strategy::SloDrift { .. }
        | Strategy::Outlier { .. }
        | Strategy::Surge { .. } => None,
    }
}

/// For people.
pub(super) fn amount(best: BestCase) -> String {
    let attempts = match best.attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    };
    if best.time == Duration::ZERO { attempts } else { format!("{:?} and {attempts}", best.time) }
}
