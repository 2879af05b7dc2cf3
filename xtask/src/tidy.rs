//! `cargo xtask tidy`: the rules of the house that no compiler knows.
//!
//! Invariant: every finding names a place and what to do there; rules look at the text of one file
//! and know nothing else, so that each can be tested with a snippet.

#![expect(clippy::print_stdout, reason = "findings are what tidy is asked for")]

mod manifests;
mod purity;
mod rust_source;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::paths;

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) advice: String,
}

impl Finding {
    fn new(line: usize, advice: impl Into<String>) -> Self {
        Self { line, advice: advice.into() }
    }
}

/// The chore.
pub(crate) fn run() -> Result<()> {
    let mut files = Vec::new();
    collect(paths::root(), &mut files)?;
    files.sort();
    let mut count = 0;
    for file in &files {
        let path = paths::relative(file);
        let content =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", path.display()))?;
        for Finding { line, advice } in findings(path, &content) {
            println!("{}:{line}: {advice}", path.display());
            count += 1;
        }
    }
    if count > 0 {
        bail!("tidy has {count} findings in {} files it looked at", files.len());
    }
    println!("tidy: {} files, no findings", files.len());
    Ok(())
}

/// Everything that is wrong with one file; `path` is relative to the root of the checkout.
fn findings(path: &Path, content: &str) -> Vec<Finding> {
    let mut found = match kind(path) {
        Kind::Rust => {
            let mut found = text::check_whitespace(content);
            found.extend(rust_source::check(path, content));
            if purity::applies_to(path) {
                found.extend(purity::check(content));
            }
            found
        }
        Kind::Markdown => {
            let mut found = text::check_whitespace(content);
            found.extend(text::check_unfinished(content));
            found
        }
        Kind::Manifest => manifests::check(path, content),
        Kind::Other => Vec::new(),
    };
    found.sort();
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Rust,
    Markdown,
    Manifest,
    Other,
}

fn kind(path: &Path) -> Kind {
    if path.file_name().is_some_and(|name| name == "Cargo.toml") {
        return Kind::Manifest;
    }
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => Kind::Rust,
        Some("md") => Kind::Markdown,
        _ => Kind::Other,
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", directory.display()))?;
        let (path, name) = (entry.path(), entry.file_name());
        let file_type =
            entry.file_type().with_context(|| format!("cannot look at {}", path.display()))?;
        if file_type.is_dir() {
            if !IGNORED_DIRECTORIES.iter().any(|ignored| name == *ignored) {
                collect(&path, files)?;
            }
        } else if file_type.is_file() && kind(&path) != Kind::Other {
            files.push(path);
        }
    }
    Ok(())
}

const IGNORED_DIRECTORIES: [&str; 2] = [".git", "target"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_to_the_rules_of_its_kind() {
        let of = |path: &str, content: &str| findings(Path::new(path), content).len();
        assert_eq!(of("a/src/a.rs", "fn main() {}\n"), 1);
        assert_eq!(of("a/README.md", "No header needed.\n"), 0);
        assert_eq!(of("a/Cargo.toml", "[package]\nname = \"a\"\n"), 1);
        assert_eq!(of("a/notes.txt", "trailing \n"), 0);
    }

    #[test]
    fn the_engine_alone_must_be_pure() {
        let source = "//! Header.\nuse std::fs;\n";
        assert_eq!(findings(Path::new("shedder-user/src/engine/table.rs"), source).len(), 1);
        assert_eq!(findings(Path::new("shedder-user/src/config.rs"), source).len(), 0);
    }

    #[test]
    fn findings_come_in_the_order_of_the_file() {
        let found = findings(Path::new("a.md"), "good\nbad \n\tbad\nbad \n");
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 3, 4]);
    }
}
