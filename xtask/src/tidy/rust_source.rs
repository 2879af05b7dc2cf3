//! Rules for every Rust file: its size, its header, its name, and what must not be in it.
//!
//! Invariant: the text of strings breaks no rule, so that a rule can be named and tested.

mod layers;

use std::path::Path;

use super::Finding;
use super::text::{check_unfinished, has_word, numbered};
pub(super) use layers::Layers;

/// Everything that is wrong with one Rust file.
pub(super) fn check(path: &Path, content: &str) -> Vec<Finding> {
    let Layers { code, comments } = Layers::of(content);
    let mut found = Vec::new();
    found.extend(check_size(content));
    found.extend(check_header(content));
    found.extend(check_name(path));
    found.extend(check_unfinished(&comments));
    found.extend(check_code(&code));
    found
}

fn check_size(content: &str) -> Option<Finding> {
    let lines = content.lines().count();
    (lines > LONGEST_FILE).then(|| {
        let advice = format!("{lines} lines, {LONGEST_FILE} are allowed: split it by purpose");
        Finding::new(LONGEST_FILE + 1, advice)
    })
}

fn check_header(content: &str) -> Option<Finding> {
    let first = content.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    (!first.starts_with("//!"))
        .then(|| Finding::new(1, "no `//!` header: say what the file does, and an invariant"))
}

fn check_name(path: &Path) -> Option<Finding> {
    let in_src = path.components().any(|part| part.as_os_str() == "src");
    let is_mod = path.file_name().is_some_and(|name| name == "mod.rs");
    (in_src && is_mod).then(|| {
        Finding::new(
            1,
            "a module file named mod.rs: name it after the module, beside its directory",
        )
    })
}

fn check_code(code: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, text) in numbered(code) {
        let dense: String = text.split_whitespace().collect();
        if dense.contains("#[allow(") || dense.contains("#![allow(") {
            found.push(Finding::new(
                line,
                "`allow` stays when its cause is gone: use `expect(lint, reason = \"…\")`",
            ));
        }
        for name in ["unimplemented", "todo"] {
            if has_word(text, name) && dense.contains(&format!("{name}!")) {
                found.push(Finding::new(
                    line,
                    format!("`{name}!`: implement it or return an error"),
                ));
            }
        }
    }
    found
}

const LONGEST_FILE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_for(path: &str, content: &str) -> Vec<String> {
        check(Path::new(path), content).into_iter().map(|finding| finding.advice).collect()
    }

    fn assert_finding(content: &str, line: usize, part: &str) {
        let found = check(Path::new("a/src/a.rs"), content);
        assert!(
            found.iter().any(|finding| finding.line == line && finding.advice.contains(part)),
            "no `{part}` at line {line} in {found:?}"
        );
    }

    #[test]
    fn a_good_file_has_no_findings() {
        let good = "//! What it does.\n\n#[expect(dead_code, reason = \"soon\")]\nfn main() {}\n";
        assert!(advice_for("a/src/main.rs", good).is_empty());
    }

    #[test]
    fn five_hundred_lines_are_the_limit() {
        let header = "//! Header.\n";
        let allowed = format!("{header}{}", "//\n".repeat(499));
        assert!(advice_for("a/src/a.rs", &allowed).is_empty());
        assert_finding(&format!("{allowed}//\n"), 501, "split it");
    }

    #[test]
    fn the_header_comes_first() {
        assert_finding("use std::fmt;\n//! Late.\n", 1, "header");
        assert_finding("/// About an item.\nfn item() {}\n", 1, "header");
        assert_finding("", 1, "header");
    }

    #[test]
    fn modules_have_names() {
        let header = "//! Header.\n";
        assert_eq!(advice_for("a/src/engine/mod.rs", header).len(), 1);
        assert!(advice_for("a/src/engine.rs", header).is_empty());
        assert!(advice_for("a/tests/common/mod.rs", header).is_empty());
    }

    #[test]
    fn silences_expect_something() {
        assert_finding("//! H.\n#[allow(dead_code)]\nfn f() {}\n", 2, "expect");
        assert_finding("//! H.\n#![allow(dead_code)]\n", 2, "expect");
        assert_finding("//! H.\n#![ allow (dead_code)]\n", 2, "expect");
        let quoted = "//! No #[allow(x)] here.\nconst BAD: &str = \"#[allow(x)]\";\n";
        assert!(advice_for("a/src/a.rs", quoted).is_empty());
    }

    #[test]
    fn unfinished_work_is_found_in_comments_and_code() {
        assert_finding("//! H.\nfn f() {} // TODO: the rest\n", 2, "TODO");
        assert_finding("//! H.\n/* a\n FIXME */\n", 3, "FIXME");
        assert_finding("//! H.\nfn f() { unimplemented!() }\n", 2, "unimplemented");
        assert_finding("//! H.\nfn f() { todo!(\"x\") }\n", 2, "todo");
        let quoted = "//! H.\nconst WORDS: &str = r#\"\"TODO\" unimplemented!()\"#;\n";
        assert!(advice_for("a/src/a.rs", quoted).is_empty());
    }
}
