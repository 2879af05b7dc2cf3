//! What the documentation says, held to the code: lists come out of it, commands and policies in it
//! are parsed, links lead somewhere.
//!
//! Invariant: a chapter that goes stale fails a test that says how to mend it.

use std::fs;
use std::path::{Path, PathBuf};

mod blocks;
mod commands;
mod links;
mod policies;
mod promises;

/// Holds the part of a chapter that comes from the code to `wanted`; with `SHEDDER_WRITE_DOCS=1` this
/// writes it.
pub(crate) fn hold(chapter: &str, wanted: &str) {
    let path = root().join(chapter);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{chapter}: {error}"));
    let (before, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{chapter}: no {BEGIN}"));
    let (written, after) = rest.split_once(END).unwrap_or_else(|| panic!("{chapter}: no {END}"));
    let wanted = format!("\n\n{wanted}\n");
    if std::env::var_os("SHEDDER_WRITE_DOCS").is_some() {
        fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("it is ours");
        return;
    }
    assert!(
        written == wanted,
        "{chapter} is behind the code; write it with: cargo xtask docs --write, or SHEDDER_WRITE_DOCS=1 cargo test -p shedder-user --lib documentation"
    );
}

/// The chapters of the book, and what else is written for people, from the root of the repository.
fn chapters() -> Vec<PathBuf> {
    let mut chapters = vec![PathBuf::from("README.md"), PathBuf::from("scenarios/README.md")];
    chapters.extend(book());
    chapters
}

/// The chapters of the book.
fn book() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(Path::new("docs"), &mut found);
    found.sort();
    found
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root().join(directory)).expect("it is there").flatten() {
        let path = directory.join(entry.file_name());
        if entry.path().is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

fn read(chapter: &Path) -> String {
    let text = fs::read_to_string(root().join(chapter));
    text.unwrap_or_else(|error| panic!("{}: {error}", chapter.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

const BEGIN: &str = "<!-- from the code: begin -->";
const END: &str = "<!-- from the code: end -->";
