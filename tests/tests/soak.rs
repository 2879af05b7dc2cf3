//! A short soak keeps every promise, and leaves nothing behind however it ends. Needs root.
//!
//! Invariant: each run has its own seed by chance, which its output names.
#![expect(unsafe_code, reason = "signals")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use leftovers::leftovers;
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/leftovers.rs"]
mod leftovers;

#[test]
fn a_short_soak_keeps_every_promise() {
    let directory = TempDir::new().expect("a directory");
    let soak = soak(&directory, &["--minutes", "0.15", "--json"]).spawn().expect("it starts");
    let pid = soak.id();
    let output = soak.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(leftovers(&directory, pid), Vec::<String>::new());

    let outcome: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON");
    let promises = outcome["promises"].as_array().expect("a list");
    assert_eq!(promises.len(), 8, "{outcome}");
    assert!(promises.iter().all(|promise| promise["verdict"] != "broken"), "{outcome}");
    assert!(outcome["faults"].as_array().is_some_and(|faults| faults.len() >= 5), "{outcome}");
    assert!(said.contains(&format!("seed {}", outcome["seed"])), "{said}");
}

#[test]
fn interrupted_it_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let mut soak = soak(&directory, &["--seed", "1"]).spawn().expect("it starts");
    let mut said = BufReader::new(soak.stderr.take().expect("it is piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it can be read");
    assert!(line.starts_with("soak: seed 1"), "{line}");
    // What is made first is the daemon's directory.
    while leftovers(&directory, soak.id()).is_empty() {
        assert!(soak.try_wait().expect("it is a child").is_none(), "it ends too early");
        std::thread::yield_now();
    }
    let pid = i32::try_from(soak.id()).expect("a process number");
    // SAFETY: a signal to a process started here and not yet waited for.
    unsafe {
        libc::kill(pid, libc::SIGINT);
    }
    assert_eq!(soak.wait().expect("it ends").code(), Some(128 + libc::SIGINT));
    assert_eq!(leftovers(&directory, soak.id()), Vec::<String>::new());
}

fn soak(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(arguments).env("TMPDIR", directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
