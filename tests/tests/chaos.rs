//! The short chaos keeps every bound, and leaves nothing behind however it ends. Needs root.
//!
//! Invariant: real servers and callers, in a directory for temporary files of its own.
#![expect(unsafe_code, reason = "signals")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use leftovers::leftovers;
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/leftovers.rs"]
mod leftovers;

#[test]
fn the_short_chaos_meets_every_bound() {
    let directory = TempDir::new().expect("a directory");
    let chaos = chaos(&directory, &["--short", "--json"]).spawn().expect("it starts");
    let pid = chaos.id();
    let output = chaos.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(leftovers(&directory, pid), Vec::<String>::new());

    let outcome: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON");
    let scenarios = outcome.as_array().expect("a list");
    assert!(scenarios.len() >= 4, "{outcome}");
    let mut findings = scenarios.iter().flat_map(|it| it["findings"].as_array().expect("a list"));
    assert!(findings.all(|finding| finding["verdict"] == "met"), "{outcome}");
}

#[test]
fn interrupted_it_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let mut chaos = chaos(&directory, &["ch-20", "ch-6"]).spawn().expect("it starts");
    let mut said = BufReader::new(chaos.stderr.take().expect("it is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it can be read");
    assert_eq!(line, "chaos: 2 scenarios\n");
    while leftovers(&directory, chaos.id()).len() < 5 {
        assert!(chaos.try_wait().expect("it is a child").is_none(), "it ends too early");
        std::thread::yield_now();
    }
    let pid = i32::try_from(chaos.id()).expect("a process number");
    // SAFETY: a signal to a process started here and not yet waited for.
    unsafe {
        libc::kill(pid, libc::SIGINT);
    }
    assert_eq!(chaos.wait().expect("it ends").code(), Some(128 + libc::SIGINT));
    assert_eq!(leftovers(&directory, chaos.id()), Vec::<String>::new());
}

fn chaos(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.args(arguments).env("TMPDIR", directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
