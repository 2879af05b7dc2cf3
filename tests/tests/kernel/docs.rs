//! What the documentation tells people to type does what it says: every command of its blocks that harms
//! nothing is run, with a real daemon to talk to.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use shedder_tests::daemon::{Daemon, program};

use crate::scene::caller;

#[test]
fn the_commands_of_the_documentation_work() {
    let (caller, cgroup) = caller("docs");
    let policy = format!(
        "[[caller]]\nname = \"web\"\ncgroups = [\"{}\"]\n[[service]]\nname = \"db\"\nendpoints = [\"10.0.0.11:5432\", \"10.0.0.12:5432\"]\n[[policy]]\ncaller = \"web\"\nservice = \"db\"\n",
        cgroup.name()
    );
    let daemon = Daemon::start(&policy).expect("it starts");
    // Commands may write, and name files of the checkout and the policy file.
    let directory = tempfile::tempdir().expect("a directory");
    let checkout = root().canonicalize().expect("it is there");
    symlink(checkout.join("scenarios"), directory.path().join("scenarios")).expect("it is ours");
    symlink(daemon.policy_file(), directory.path().join("shedder.toml")).expect("it is ours");
    symlink(daemon.policy_file(), directory.path().join("new.toml")).expect("it is ours");
    let pid = caller.pid().to_string();
    let policy_file = daemon.policy_file().display().to_string();
    let example = |word: &str| match word {
        "PID" => pid.clone(),
        "NAME" => "lab-caller".to_owned(),
        "ENDPOINT" => "10.0.0.11:5432".to_owned(),
        "FILE" | "/etc/shedder/shedder.toml" => policy_file.clone(),
        // Nobody waits that long here.
        "2h" => "3s".to_owned(),
        "DIRECTORY" => directory.path().display().to_string(),
        _ => word.to_owned(),
    };
    let mut seen: Vec<String> = Vec::new();
    for (place, line) in commands() {
        let words: Vec<String> = line.split_whitespace().map(example).collect();
        // `detach` would reach for what a daemon of this node has left.
        if ["run", "top", "detach"].contains(&words[0].as_str())
            || words.iter().any(|word| word == "--follow")
            || seen.contains(&line)
        {
            continue;
        }
        let mut command = Command::new(program().expect("it is built"));
        let command = command.args(&words).current_dir(directory.path());
        let output = command.env("SHEDDER_SOCKET", daemon.socket()).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: shedder {line}: {told}");
        assert!(!output.stdout.is_empty() || words[0] == "man", "{place}: shedder {line}");
        seen.push(line);
    }
    assert!(seen.len() > 25, "{seen:?}");
}

/// The commands of all blocks, each with its chapter, without what the shell does with them.
fn commands() -> Vec<(String, String)> {
    let mut chapters = vec![root().join("README.md"), root().join("scenarios/README.md")];
    collect(&root().join("docs"), &mut chapters);
    let mut found = Vec::new();
    for chapter in chapters {
        let text = fs::read_to_string(&chapter).expect("it is there").replace("\\\n", " ");
        let mut is_block = false;
        for line in text.lines().map(str::trim_start) {
            if line.starts_with("```") {
                is_block = !is_block;
                continue;
            }
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let line = line.strip_prefix("sudo ").unwrap_or(line);
            let Some(line) = line.strip_prefix("shedder ").filter(|_| is_block) else { continue };
            let line = line.split(['#', '>', '|']).next().unwrap_or_default().trim();
            found.push((chapter.display().to_string(), line.to_owned()));
        }
    }
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
