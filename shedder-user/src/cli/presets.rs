//! `shedder presets`: the rule sets a policy can start from.

use clap::Args;

use super::Failure;
use super::output::{Colour, Paint, Table};
use crate::config::{Preset, presets};
use crate::engine::{Policy, ShedAction, Strategy};

/// List the presets, or show everything one of them sets.
///
/// A policy names a preset with `preset = "NAME"` and overrides single fields beside it.
#[derive(Debug, Args)]
pub(super) struct Presets {
    /// Show this one in full
    name: Option<String>,
}

impl Presets {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let paint = Paint::stdout();
        let Some(name) = self.name else {
            print!("{}", list(paint));
            return Ok(());
        };
        let preset = presets().iter().find(|preset| preset.name == name).ok_or_else(|| {
            let known: Vec<_> = presets().iter().map(|preset| preset.name.as_str()).collect();
            anyhow::anyhow!("{name:?} is no preset; there are {}", known.join(", "))
        })?;
        print!("{}", show(preset));
        Ok(())
    }
}

fn list(paint: Paint) -> String {
    let mut table = Table::new(&["PRESET", "WHAT IT DOES", "SOURCE"]);
    for preset in presets() {
        table.push(vec![preset.name.clone(), preset.summary.clone(), preset.source.clone()]);
    }
    table.render(
        |row, _, cell| {
            if row == 0 { paint.apply(Colour::Bold, cell) } else { cell.to_owned() }
        },
    )
}

/// The preset as lines one could put into a policy file.
fn show(preset: &Preset) -> String {
    let Policy { trip, shed, open, half_open, ramp, caller_timeout, turns_to_skip, .. } =
        preset.policy();
    let mut lines =
        vec![format!("# {}: {} (source: {})", preset.name, preset.summary, preset.source)];
    lines.extend(trip.iter().map(rule));
    let time = |duration| humantime::format_duration(duration).to_string();
    let share = |permille: u16| f64::from(permille) / 1000.0;
    lines.push(format!(
        "open = {{ {}, base = \"{}\", max = \"{}\", jitter = {} }}",
        action(shed),
        time(open.base),
        time(open.max),
        share(open.jitter_permille),
    ));
    lines.push(format!(
        "half_open = {{ tokens = {}, successes = {}, deadline = \"{}\" }}",
        half_open.tokens,
        half_open.successes,
        time(half_open.deadline),
    ));
    lines.push(format!(
        "recovery = {{ ramp = \"{}\", from = {} }}",
        time(ramp.duration),
        share(ramp.start_permille),
    ));
    lines.push(format!("caller_timeout = \"{}\"", time(caller_timeout)));
    lines.push(format!("turns_to_skip = {turns_to_skip}\n"));
    lines.join("\n")
}

fn rule(strategy: &Strategy) -> String {
    let time = |duration| humantime::format_duration(duration).to_string();
    match strategy {
        Strategy::Consecutive { failures } => format!("trip.consecutive = {failures}"),
        Strategy::FailureShare { at_least, z, min_attempts, window } => {
            let confidence = crate::config::confidence(*z);
            format!(
                "trip.failure_share = {{ at_least = {at_least}, confidence = {confidence}, min_attempts = {min_attempts}, window = \"{}\" }}",
                time(*window)
            )
        }
        Strategy::Latency { signal, quantile_permille, over, min_samples, window } => format!(
            "trip.latency = {{ signal = \"{}\", quantile = {}, over = \"{}\", min_samples = {min_samples}, window = \"{}\" }}",
            signal.name(),
            f64::from(*quantile_permille) / 1000.0,
            time(*over),
            time(*window),
        ),
    }
}

fn action(shed: ShedAction) -> String {
    match shed {
        ShedAction::Deny(errno) => format!("action = \"deny\", errno = \"{}\"", errno.name()),
        ShedAction::Delay(ms) => format!("action = \"delay\", delay = \"{ms}ms\""),
        ShedAction::Redirect(errno) => {
            format!("action = \"redirect\", errno = \"{}\"", errno.name())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What is shown is what one could write.
    #[test]
    fn a_shown_preset_is_a_policy() {
        for preset in presets() {
            let rules = show(preset);
            let dropped: Vec<_> = ["consecutive", "failure_share", "latency"]
                .into_iter()
                .filter(|rule| !rules.contains(&format!("trip.{rule} ")))
                .collect();
            let text = format!(
                "[[caller]]\nname = \"a\"\ncgroups = [\"/a\"]\n[[service]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[[policy]]\ncaller = \"a\"\nservice = \"b\"\ntrip.without = {dropped:?}\n{rules}"
            );
            let config = Config::parse(&preset.name, &text)
                .unwrap_or_else(|error| panic!("{error}\n{text}"));
            let policy =
                Policy { name: preset.name.clone(), ..(*config.bindings[0].policy).clone() };
            assert_eq!(policy, preset.policy());
        }
    }
}
