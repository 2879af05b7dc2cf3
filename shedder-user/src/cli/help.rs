//! `shedder help`: the commands, and the ideas behind them.
//!
//! Invariant: what is printed about a topic is a chapter of the book, word for word.

use std::fmt::Write as _;

use clap::{Args, CommandFactory as _};

use self::topics::{TOPICS, Topic};
use super::output::{Colour, Paint};
use super::{Cli, Failure};
use crate::config::did_you_mean;

mod topics;

/// Print help about a command or a topic
#[derive(Debug, Args)]
pub(super) struct Help {
    /// A command or a topic; without one, both are listed
    about: Option<String>,
}

impl Help {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let paint = Paint::stdout();
        print!("{}", text(self.about.as_deref(), paint)?);
        Ok(())
    }
}

fn text(about: Option<&str>, paint: Paint) -> Result<String, anyhow::Error> {
    let mut command = Cli::command();
    let Some(about) = about else {
        let help = command.render_long_help();
        let help = if paint.is_enabled() { help.ansi().to_string() } else { help.to_string() };
        return Ok(format!("{help}\n{}", list(paint)));
    };
    if let Some(topic) = TOPICS.iter().find(|topic| topic.name == about) {
        return Ok(page(topic, paint));
    }
    // Building it fills in what a command inherits.
    command.build();
    if let Some(command) = command.find_subcommand_mut(about) {
        let help = command.render_long_help();
        return Ok(if paint.is_enabled() { help.ansi().to_string() } else { help.to_string() });
    }
    let topics: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    let commands: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    anyhow::bail!(
        "{about:?} is neither a command nor a topic; topics are {}{}",
        topics.join(", "),
        did_you_mean(about, topics.iter().chain(&commands).copied()),
    )
}

fn list(paint: Paint) -> String {
    let mut text = format!("{}\n", paint.apply(Colour::Bold, "Topics (shedder help TOPIC):"));
    let width = TOPICS.iter().map(|topic| topic.name.len()).max().unwrap_or(0);
    for Topic { name, about, .. } in TOPICS {
        writeln!(text, "  {name:width$}  {about}").expect("to a string");
    }
    text
}

/// A chapter as a terminal shows it: its heading bold, its blocks set in, its links without targets.
fn page(topic: &Topic, paint: Paint) -> String {
    let mut page = String::new();
    let mut is_block = false;
    for line in topic.text.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            writeln!(page, "  {line}").expect("to a string");
        } else if let Some(heading) = line.strip_prefix("# ") {
            writeln!(page, "{}", paint.apply(Colour::Bold, heading)).expect("to a string");
        } else {
            writeln!(page, "{}", without_targets(line)).expect("to a string");
        }
    }
    page
}

/// `[text](target)` as `text`.
fn without_targets(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((text, after)) = link.split_once("](") else { break };
        let Some((_target, after)) = after.split_once(')') else { break };
        plain.push_str(before);
        plain.push_str(text);
        rest = after;
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(about: &str) -> Result<String, String> {
        text(Some(about), Paint::plain()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_word_it_lists_commands_and_topics() {
        let all = text(None, Paint::plain()).expect("it lists");
        let commands = Cli::command();
        let commands = commands.get_subcommands().map(|it| it.get_name().to_owned());
        for name in commands.chain(TOPICS.iter().map(|topic| topic.name.to_owned())) {
            assert!(all.contains(&format!("\n  {name}  ")), "{name} is missing in\n{all}");
        }
    }

    #[test]
    fn a_command_has_the_help_of_its_flag() {
        assert!(help("histogram").expect("a command").contains("--network <NETWORK>"));
    }

    #[test]
    fn a_topic_fits_a_terminal() {
        for topic in TOPICS {
            let page = help(topic.name).expect("a topic");
            assert!(page.lines().all(|line| line.chars().count() <= 80), "{}: {page}", topic.name);
            assert!((8..60).contains(&page.lines().count()), "{}: {page}", topic.name);
            assert!(!page.contains("]("), "{}: {page}", topic.name);
        }
    }

    #[test]
    fn an_unknown_word_gets_a_suggestion() {
        for (wrong, meant) in [("state", "states"), ("verdict", "verdicts"), ("explian", "explain")]
        {
            let said = help(wrong).expect_err(wrong);
            assert!(said.ends_with(&format!("did you mean {meant:?}?")), "{said}");
        }
        assert!(help("zzz").expect_err("no").ends_with("topics are states, evidence, rules, verdicts, recovery, safety, policy, presets, observe, limits"));
    }

    #[test]
    fn no_topic_hides_a_command() {
        let command = Cli::command();
        for topic in TOPICS.iter().filter(|topic| topic.name != "presets") {
            assert!(command.find_subcommand(topic.name).is_none(), "{}", topic.name);
        }
    }
}
