//! `shedder check`: is the policy file good, and can its rules do what is asked of them?

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::config::{Binding, Config};
use crate::engine::{BestCase, Measure, Mode, Policy, Signal, Strategy};

/// Check a policy file, without a daemon and without privileges.
///
/// Says what would be guarded and how soon, warns of rules that cannot do what they seem to, or
/// names the line that is wrong. `shedder run --check-only` goes further and asks the kernel.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The policy file
    file: PathBuf,
}

impl Check {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let config = Config::load(&self.file).map_err(anyhow::Error::from)?;
        for binding in &config.bindings {
            println!("{}", describe(&config, binding));
        }
        for warning in config.bindings.iter().flat_map(|binding| warnings(&self.file, binding)) {
            eprintln!("shedder: {warning}");
        }
        println!("{}: good", self.file.display());
        Ok(())
    }
}

/// What a policy would do, in one line.
fn describe(config: &Config, binding: &Binding) -> String {
    let service = &config.services[binding.service];
    let mode = match binding.policy.mode {
        Mode::Observe => "observes",
        Mode::Enforce => "enforces",
    };
    let soonest = best_case(&binding.policy).map_or_else(
        || "never sheds: no rule that can hold opens or throttles".to_owned(),
        |best| format!("acts on a dead endpoint after {} at best", amount(best)),
    );
    format!(
        "policy {} {mode}: {} calling {} ({} endpoints), {soonest}",
        binding.policy.name,
        config.callers[binding.caller].name,
        service.name,
        service.endpoints.len(),
    )
}

/// What a policy cannot do although it seems to.
fn warnings(file: &Path, binding: &Binding) -> Vec<String> {
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
fn best_case(policy: &Policy) -> Option<BestCase> {
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

fn amount(best: BestCase) -> String {
    let attempts = match best.attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    };
    if best.time == Duration::ZERO { attempts } else { format!("{:?} and {attempts}", best.time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about a policy with these lines.
    fn check(lines: &str) -> (String, Vec<String>) {
        let text = format!(
            "[[caller]]\nname = \"a\"\ncgroups = [\"/a\"]\n[[service]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[[policy]]\ncaller = \"a\"\nservice = \"b\"\n{lines}"
        );
        let config = Config::parse("f", &text).unwrap_or_else(|error| panic!("{error}"));
        let binding = &config.bindings[0];
        (describe(&config, binding), warnings(Path::new("f"), binding))
    }

    #[test]
    fn the_best_case_is_told() {
        let (line, warnings) = check("target = \"1s\"");
        let expected = "policy a:b observes: a calling b (1 endpoints), acts on a dead endpoint after 5 attempts at best";
        assert_eq!(line, expected);
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_target_out_of_reach_is_a_warning() {
        let (line, warnings) = check("preset = \"mysql\"\ntarget = \"3s\"");
        assert!(line.ends_with("after 15s and 10 attempts at best"), "{line}");
        assert_eq!(
            warnings,
            [
                "f:8: warning: policy a:b: its target is 3s, and its rules take 15s and 10 attempts at best; shorten a window, lower a share, or add trip.consecutive"
            ]
        );
        assert!(check("preset = \"mysql\"\ntarget = \"15s\"").1.is_empty());
    }

    #[test]
    fn alarms_alone_never_shed() {
        let (line, warnings) = check("preset = \"apdex\"\ntarget = \"10m\"");
        assert!(line.contains("never sheds"), "{line}");
        assert!(warnings[0].contains("no rule can shed"), "{warnings:?}");
    }

    #[test]
    fn rules_without_evidence_are_named() {
        let (line, warnings) = check("preset = \"infra\"\ntrip.in_flight = { over = 5 }");
        assert!(line.contains("never sheds"), "{line}");
        let ends = warnings.iter().map(|warning| warning.rsplit(": ").next().unwrap_or(""));
        assert_eq!(
            ends.collect::<Vec<_>>(),
            [
                "nothing measures rtt yet; the rule never holds",
                "nothing measures retransmits yet; the rule never holds",
                "nothing measures connections in flight yet; the rule never holds",
            ]
        );
    }
}
