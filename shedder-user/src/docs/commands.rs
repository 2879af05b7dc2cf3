//! Every command the documentation shows is one.

use super::blocks::{Block, blocks, spans};
use crate::cli::{complaint_about, is_command};

#[test]
fn every_command_that_is_shown_is_one() {
    let mut seen = 0;
    for Block { place, info, text } in blocks() {
        if info != "sh" && info != "console" {
            continue;
        }
        for line in text.replace("\\\n", " ").lines() {
            seen += usize::from(check(&place, line.trim_start_matches("$ "), false));
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_command_that_is_mentioned_is_one() {
    let seen = spans().into_iter().filter(|(place, span)| check(place, span, true)).count();
    assert!(seen > 60, "{seen}");
}

/// Whether it is a command of ours; then it must be good, or the name of one where that is enough.
fn check(place: &str, line: &str, may_be_name: bool) -> bool {
    let line = line.strip_prefix("sudo ").unwrap_or(line);
    let Some(line) = line.strip_prefix("shedder ") else { return false };
    // What the shell does with it is not ours, nor is what it is told.
    let line = line.split(['#', '>', '|', ';']).next().unwrap_or_default();
    let words = line.split_whitespace().map(example);
    if may_be_name && words.clone().count() == 1 {
        assert!(is_command(line.trim()), "{place}: shedder {line}: no such command");
    } else if let Some(complaint) = complaint_about(words) {
        panic!("{place}: shedder {line}: {complaint}");
    }
    true
}

/// What might stand for a word in capitals.
fn example(word: &str) -> &str {
    match word {
        "PID" => "1",
        "SHELL" => "bash",
        _ => word,
    }
}
