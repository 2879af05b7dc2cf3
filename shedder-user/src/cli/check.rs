//! `shedder check`: is the policy file good, and can its rules do what is asked of them?

use std::path::PathBuf;

use clap::Args;

use super::{Failure, advice};
use crate::config::{Binding, Config};
use crate::engine::Mode;

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
        for warning in advice::warnings(&self.file, &config) {
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
    let soonest = binding.policy.best_case().map_or_else(
        || "never sheds: no rule opens or throttles".to_owned(),
        |best| format!("acts on a dead endpoint after {} at best", advice::amount(best)),
    );
    format!(
        "policy {} {mode}: {} calling {} ({} endpoints), {soonest}",
        binding.policy.name,
        config.callers[binding.caller].name,
        service.name,
        service.endpoints.len(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is said about a policy with these lines.
    fn check(lines: &str) -> (String, Vec<String>) {
        let text = format!(
            "[[caller]]\nname = \"a\"\ncgroups = [\"/a\"]\n[[service]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[[policy]]\ncaller = \"a\"\nservice = \"b\"\n{lines}"
        );
        let config = Config::parse("f", &text).unwrap_or_else(|error| panic!("{error}"));
        let binding = &config.bindings[0];
        (describe(&config, binding), advice::warnings(Path::new("f"), &config))
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
                "f:8:10: warning: policy a:b: its target is 3s, and its rules take 15s and 10 attempts at best; shorten a window, lower a share, or add trip.consecutive"
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
}
