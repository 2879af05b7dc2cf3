//! The demo plays, shows the difference it promises, and leaves nothing behind however it ends.
//! Needs root.
//!
//! Invariant: what is looked for afterwards is known by the demo's process number or lies in its
//! own directory for temporary files, so tests run side by side.
#![expect(unsafe_code, reason = "signals")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use shedder_tests::program::copy_into;
use tempfile::TempDir;

use leftovers::leftovers;

#[path = "support/leftovers.rs"]
mod leftovers;

#[test]
fn guarded_callers_fare_better_in_every_sick_act() {
    let directory = TempDir::new().expect("a directory");
    let demo = demo(&directory, &["--seconds-per-act", "4", "--json"]).spawn().expect("it starts");
    let pid = demo.id();
    let output = demo.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(leftovers(&directory, pid), Vec::<String>::new());

    let figures: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON");
    let acts = figures["acts"].as_array().expect("a list of acts");
    assert_eq!(acts.len(), 5);
    for act in acts {
        let figure = |population: &str, name: &str| {
            act[population][name].as_f64().unwrap_or_else(|| panic!("no {name}: {act}"))
        };
        let kind = act["act"].as_str().expect("a name");
        if matches!(kind, "refuses" | "slow" | "hangs") {
            assert!(act["first_shed_ms"].is_u64(), "{act}");
            assert!(act["closed_after_healing_ms"].is_u64(), "{act}");
        } else {
            assert!(act["first_shed_ms"].is_null(), "{act}");
        }
        // Where answers keep callers waiting, the guarded ones get more of them; where refusals
        // come at once, everybody fails over, but the unguarded have to try again and again.
        let better = match kind {
            "slow" | "hangs" => figure("guarded", "answered_per_second"),
            "refuses" => figure("unguarded", "bad_attempts"),
            _ => continue,
        };
        let worse = match kind {
            "refuses" => figure("guarded", "bad_attempts"),
            _ => figure("unguarded", "answered_per_second"),
        };
        assert!(better > worse, "{act}");
    }
}

#[test]
fn interrupted_before_it_has_begun_it_leaves_nothing() {
    interrupt_after("Two populations", libc::SIGINT);
}

#[test]
fn interrupted_while_it_plays_it_leaves_nothing() {
    interrupt_after("1 of 5", libc::SIGINT);
    interrupt_after("  shedder: A", libc::SIGTERM);
}

/// A pipe whose reader has gone is an end like any other.
#[test]
fn unheard_it_ends_and_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let mut demo = demo(&directory, &["--seconds-per-act", "4"]).spawn().expect("it starts");
    read_until(demo.stdout.take().expect("it is piped"), "1 of 5");
    let status = demo.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert_eq!(leftovers(&directory, demo.id()), Vec::<String>::new());
}

#[test]
fn without_root_it_says_what_is_missing() {
    let directory = TempDir::new().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let program = copy_into(env!("CARGO_BIN_EXE_demo").as_ref(), directory.path()).expect("a copy");
    let output = Command::new(&program).uid(NOBODY).gid(NOBODY).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("root") && said.lines().count() <= 2, "{said}");
}

fn interrupt_after(line: &str, signal: i32) {
    let directory = TempDir::new().expect("a directory");
    let mut demo = demo(&directory, &["--seconds-per-act", "4"]).spawn().expect("it starts");
    let output = demo.stdout.take().expect("it is piped");
    let output = read_until(output, line);
    if line != "Two populations" {
        // Two cgroups, the daemon's directory, the daemon and its event reader.
        assert!(leftovers(&directory, demo.id()).len() >= 5, "the search finds what there is");
    }
    let pid = i32::try_from(demo.id()).expect("a process number");
    // SAFETY: a signal to a process started here and not yet waited for.
    unsafe {
        libc::kill(pid, signal);
    }
    let status = demo.wait().expect("it ends");
    assert_eq!(status.code(), Some(128 + signal));
    assert_eq!(leftovers(&directory, demo.id()), Vec::<String>::new());
    drop(output);
}

fn demo(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments).env("TMPDIR", directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Reads up to the first line that begins with `start`.
fn read_until<R: std::io::Read>(output: R, start: &str) -> BufReader<R> {
    let mut output = BufReader::new(output);
    let mut line = String::new();
    while !line.starts_with(start) {
        line.clear();
        let read = output.read_line(&mut line).expect("it can be read");
        assert_ne!(read, 0, "there is no line {start:?}");
    }
    output
}

const NOBODY: u32 = 65_534;
