//! `cargo xtask docs`: the book in `docs/`, and those parts of it that come from the code.
//!
//! Invariant: tests need nothing of this: that the book is whole and not behind the code is a unit
//! test, and mdBook is fetched only when somebody asks for the book.

use std::process::Command;

use anyhow::Result;

use crate::paths;
use crate::process;
use crate::setup::CargoTool;
use crate::step;

/// The chore: write what comes from the code, if asked to, and build the book.
pub(crate) fn run(write: bool) -> Result<()> {
    if write {
        let mut command = process::host_cargo();
        command.args([
            "test",
            "--quiet",
            "--package",
            "shedder-user",
            "--lib",
            "in_the_documentation",
        ]);
        process::run(command.env("SHEDDER_WRITE_DOCS", "1"))?;
    }
    let mdbook = MDBOOK.ensure()?;
    let book = paths::target_dir().join("book");
    let mut command = Command::new(mdbook);
    process::run(command.current_dir(paths::root()).arg("build").arg("--dest-dir").arg(&book))?;
    step::tagged(step::GREEN, "built", &book.join("index.html").display().to_string());
    Ok(())
}

const MDBOOK: CargoTool = CargoTool { name: "mdbook", version: "0.5.4", arguments: &[] };

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use clap::Parser as _;

    use super::*;
    use crate::Arguments;

    /// In the documentation and in what people read first.
    #[test]
    fn every_chore_that_is_shown_is_one() {
        let mut files = vec![];
        for place in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "scenarios/README.md"] {
            files.push(paths::root().join(place));
        }
        collect(&paths::root().join("docs"), &mut files);
        let mut seen = 0;
        for file in files {
            let text = fs::read_to_string(&file).expect("it is there");
            for words in text.split("cargo xtask ").skip(1) {
                // A sentence ends where a version goes on.
                let is_end = |at: usize| {
                    let mut rest = words[at..].chars();
                    rest.next().is_some_and(|it| "`\n#)|".contains(it))
                        || words[at..].starts_with([',', '.', ':'])
                            && rest.next().is_none_or(|next| !next.is_ascii_digit())
                };
                let mut places = words.char_indices().map(|(at, _)| at);
                let end = places.find(|at| is_end(*at)).unwrap_or(words.len());
                let words = words[..end].split_whitespace().take_while(|word| is_argument(word));
                if let Err(error) = Arguments::try_parse_from(["xtask"].into_iter().chain(words)) {
                    assert!(!error.use_stderr(), "{}: {error}", file.display());
                }
                seen += 1;
            }
        }
        assert!(seen > 15, "{seen}");
    }

    fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("it is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|it| it == "md") {
                files.push(path);
            }
        }
    }

    fn is_argument(word: &str) -> bool {
        word.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || "-.".contains(it))
    }
}
