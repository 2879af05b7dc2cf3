//! The engine, and the simulation and the replay around it, decide and nothing else: no clock, no file, no network, no kernel, no log.
//!
//! Invariant: what is forbidden in a path is also forbidden inside a grouped `use`.

use std::path::Path;

use super::Finding;
use super::rust_source::Layers;
use super::text::{has_word, numbered};

/// Whether a file, relative to the root of the checkout, belongs to the engine, the simulation or
/// the replay; the tests of the latter two read files.
pub(super) fn applies_to(path: &Path) -> bool {
    let is_in = |module: &str| {
        let module = Path::new("shedder-user/src").join(module);
        path == module.with_extension("rs") || path.starts_with(module)
    };
    is_in("engine") || (is_in("simulation") || is_in("replay")) && !path.ends_with("tests.rs")
}

/// Everything impure in one file of the engine.
pub(super) fn check(content: &str) -> Vec<Finding> {
    let code = Layers::of(content).code;
    let mut found = Vec::new();
    for (line, text) in numbered(&code) {
        for word in FORBIDDEN_WORDS.iter().filter(|word| has_word(text, word)) {
            found.push(impure(line, word));
        }
        let dense = text.replace(" ::", "::").replace(":: ", "::");
        for path in FORBIDDEN_PATHS.iter().filter(|path| has_word(&dense, path)) {
            found.push(impure(line, path));
        }
    }
    for (line, imported) in grouped_imports(&code) {
        for path in FORBIDDEN_PATHS.iter().filter(|path| has_word(&imported, path)) {
            found.push(impure(line, path));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn impure(line: usize, what: &str) -> Finding {
    Finding::new(
        line,
        format!("`{what}` in pure code: let the caller pass the value in, or act on the result"),
    )
}

/// Every path of every `use` with braces, written out, with the line of its last part.
fn grouped_imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("use ") {
        let follows_a_letter = code[..start].chars().next_back().is_some_and(char::is_alphanumeric);
        let tree_start = start + "use ".len();
        let Some(length) = code[tree_start..].find(';') else { continue };
        let tree = &code[tree_start..tree_start + length];
        if !follows_a_letter && tree.contains('{') {
            write_out(code, tree_start, tree, "", &mut found);
        }
    }
    found
}

/// Write out one tree, such as `std::{fmt, io::{self, Read}}`, that starts at byte `at` of `code`.
fn write_out(code: &str, at: usize, tree: &str, prefix: &str, found: &mut Vec<(usize, String)>) {
    let Some(open) = tree.find('{') else {
        let leading = tree.len() - tree.trim_start().len();
        let line = 1 + code[..at + leading].matches('\n').count();
        found.push((line, format!("{prefix}{}", tree.trim())));
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let close = tree.rfind('}').unwrap_or(tree.len());
    let mut depth = 0_usize;
    let mut branch = open + 1;
    for (position, letter) in tree.char_indices().take_while(|(position, _)| *position <= close) {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let ends_here = (letter == ',' && depth == 1) || position == close;
        if ends_here && branch <= position {
            write_out(code, at + branch, &tree[branch..position], &prefix, found);
            branch = position + 1;
        }
    }
}

const FORBIDDEN_PATHS: [&str; 5] =
    ["std::time::Instant", "std::fs", "std::net", "std::env", "std::thread"];
const FORBIDDEN_WORDS: [&str; 7] =
    ["SystemTime", "tokio", "aya", "procfs", "tracing", "println", "eprintln"];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &str) -> Vec<usize> {
        check(content).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_engine_is_a_file_and_a_directory() {
        assert!(applies_to(Path::new("shedder-user/src/engine.rs")));
        assert!(applies_to(Path::new("shedder-user/src/engine/window.rs")));
        assert!(!applies_to(Path::new("shedder-user/src/engineering.rs")));
        assert!(!applies_to(Path::new("shedder-user/src/daemon.rs")));
    }

    #[test]
    fn pure_code_passes() {
        let pure = "use std::{collections::HashMap, fmt, time::Duration};\nuse core::net::IpAddr;\n\
                    // Unlike tokio, std::fs is not used.\nconst TEXT: &str = \"std::env\";\n\
                    struct Instant; fn std_fs() -> Instant { Instant }\n";
        assert_eq!(check(pure), []);
    }

    #[test]
    fn each_impurity_is_found() {
        for bad in [
            "use std::time::Instant;",
            "let now = std::time::Instant::now();",
            "use std::time::SystemTime;",
            "use tokio::sync::mpsc;",
            "use aya::maps::HashMap;",
            "std::fs::read(path);",
            "use std :: net :: TcpStream;",
            "let home = std::env::var(name);",
            "std::thread::sleep(pause);",
            "procfs::process::all_processes();",
            "tracing::info!(state);",
            "println!();",
            "eprintln!();",
        ] {
            assert_eq!(lines(&format!("fn pure() {{}}\n{bad}\n")), [2], "{bad}");
        }
    }

    #[test]
    fn grouped_imports_hide_nothing() {
        assert_eq!(lines("use std::{fmt, fs};\n"), [1]);
        assert_eq!(lines("use std::{\n    fmt,\n    net::IpAddr,\n};\n"), [3]);
        assert_eq!(lines("use std::{fmt, time::{Duration, Instant}};\n"), [1]);
        assert_eq!(lines("use std::time::{\n    Duration,\n    Instant,\n};\n"), [3]);
        assert_eq!(lines("use {std::{env, thread}, core::fmt};\n"), [1, 1]);
        assert_eq!(lines("use std::{io::{self, Read}, fmt::{self}};\n"), []);
    }
}
