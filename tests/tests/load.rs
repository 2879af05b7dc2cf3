//! A short load keeps every promise it can be judged by, and leaves nothing behind. Needs root.
//!
//! Invariant: nothing here depends on how fast the machine is.

use std::process::{Command, Stdio};

use leftovers::leftovers;
use serde_json::Value;
use tempfile::TempDir;

#[path = "support/leftovers.rs"]
mod leftovers;

#[test]
fn a_short_load_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--minutes", "0.15", "--idle", "2", "--json"]).env("TMPDIR", directory.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let load = command.spawn().expect("it starts");
    let pid = load.id();
    let output = load.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(leftovers(&directory, pid), Vec::<String>::new());

    let outcome: Value = serde_json::from_slice(&output.stdout).expect("nothing but JSON");
    let promises = outcome["promises"].as_array().expect("a list");
    assert_eq!(promises.len(), 8, "{outcome}");
    let kept = promises.iter().filter(|promise| promise["verdict"] == "kept");
    assert!(kept.count() >= 5, "{outcome}");
    assert!(outcome["cgroups"].as_u64().is_some_and(|cgroups| cgroups >= 8), "{outcome}");
    assert!(outcome["endpoints_at_once"].as_u64().is_some_and(|most| most > 16), "{outcome}");
}
