//! `docs/presets.md`: the presets and their figures.

use std::fmt::Write as _;

use super::super::advice;
use super::{Preset, presets};
use crate::engine::{Admission, Growth, OpenRule, Policy, ShedAction};

#[test]
fn the_presets_in_the_documentation_are_those_in_the_code() {
    let mut text = String::from(
        "| preset | acts on a dead endpoint after, at best | connects are then | open for | probes |\n|---|---|---|---|---|\n",
    );
    for preset in presets() {
        let policy = preset.policy();
        let row = [soonest(&policy), action(&policy), open(&policy.open), probes(&policy)];
        writeln!(text, "| [{0}](#{0}) | {1} |", preset.name, row.join(" | ")).expect("to a string");
    }
    for Preset { name, summary, source, .. } in presets() {
        let preset = Preset::find(name).expect("it is one");
        let lines = preset.lines().join("\n");
        write!(
            text,
            "\n## {name}\n\n{summary}. Source: {source}.\n\n```toml,fragment\n{lines}\n```\n"
        )
        .expect("to a string");
    }
    crate::docs::hold("docs/presets.md", &text);
}

fn soonest(policy: &Policy) -> String {
    policy.best_case().map_or_else(|| "never: it only alarms".to_owned(), advice::amount)
}

fn action(policy: &Policy) -> String {
    match policy.shed {
        ShedAction::Deny(errno) => format!("refused ({})", errno.name()),
        ShedAction::Delay(milliseconds) => format!("held for {milliseconds} ms"),
        ShedAction::Redirect(_) => "sent elsewhere".to_owned(),
    }
}

fn open(rule: &OpenRule) -> String {
    let (base, max) = (humantime::format_duration(rule.base), humantime::format_duration(rule.max));
    match rule.growth {
        _ if rule.base == rule.max => base.to_string(),
        Growth::Constant => base.to_string(),
        Growth::Exponential(factor) => format!("{base}, times {factor} each trip, up to {max}"),
        Growth::Linear => format!("{base}, {base} more each trip, up to {max}"),
    }
}

fn probes(policy: &Policy) -> String {
    match policy.half_open.admission {
        Admission::Tokens(tokens) => {
            let successes = policy.half_open.successes;
            policy.half_open.refill.map_or_else(
                || format!("{successes} of {tokens}"),
                |every| {
                    format!("{successes}, {tokens} every {}", humantime::format_duration(every))
                },
            )
        }
        Admission::Everyone => "everyone".to_owned(),
        Admission::Skip => "none".to_owned(),
    }
}
