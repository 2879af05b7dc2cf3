//! `shedder presets`: the rule sets a policy can start from.

use clap::Args;

#[cfg(test)]
mod page;

use super::Failure;
use super::output::{Paint, Table};
use crate::config::{Preset, presets};

/// List the presets, or show everything one of them sets.
///
/// A policy names a preset with `preset = "NAME"` and overrides single fields beside it. What is
/// shown of one can be pasted into a `[[policy]]` instead.
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
        let preset = Preset::find(&name).ok_or_else(|| {
            anyhow::anyhow!("{name:?} is no preset; there are {}", Preset::known(&name))
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
    table.render(paint, |_, _| None)
}

/// The preset as lines one could put into a policy file.
fn show(preset: &Preset) -> String {
    let Preset { name, summary, source, .. } = preset;
    format!("# {name}: {summary} (source: {source})\n{}\n", preset.lines().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::engine::Policy;

    /// What is shown is what one could write.
    #[test]
    fn a_shown_preset_is_a_policy() {
        for preset in presets() {
            let text = format!(
                "[[caller]]\nname = \"a\"\ncgroups = [\"/a\"]\n[[service]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[[policy]]\ncaller = \"a\"\nservice = \"b\"\n{}",
                show(preset)
            );
            let config = Config::parse(&preset.name, &text)
                .unwrap_or_else(|error| panic!("{error}\n{text}"));
            let policy =
                Policy { name: preset.name.clone(), ..(*config.bindings[0].policy).clone() };
            assert_eq!(policy, preset.policy(), "{text}");
        }
    }

    #[test]
    fn a_line_shows_one_trip_rule() {
        let preset = Preset::find("dual-p90");
        let shown = show(preset.expect("it is in the file"));
        let all = shown.lines().find(|line| line.starts_with("trip.all = ")).expect("it has it");
        assert!(
            all.contains("over_mean = { times = 1.2, floor = \"800ms\", cap = \"1500ms\" }"),
            "{all}"
        );
    }
}
