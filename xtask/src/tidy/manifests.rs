//! Rules for manifests: the workspace's lints apply, and some packages stay small.
//!
//! Invariant: plain text checks; a manifest cargo accepts but that is written in a way these
//! rules do not see through (such as inline tables for sections) is a finding, not a pass.

use std::path::Path;

use super::Finding;
use super::text::numbered;

/// Everything that is wrong with one `Cargo.toml`.
pub(super) fn check(path: &Path, content: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(check_lints(content));
    if let Some((_, allowed)) = SMALL_PACKAGES.iter().find(|(small, _)| path == Path::new(small)) {
        found.extend(check_dependencies(content, allowed));
    }
    found
}

fn check_lints(content: &str) -> Option<Finding> {
    let sections = sections(content);
    let package = sections.iter().find(|section| section.name == "package")?;
    let inherits = sections
        .iter()
        .filter(|section| section.name == "lints")
        .any(|section| section.entries.iter().any(|(_, entry)| dense(entry) == "workspace=true"));
    (!inherits).then(|| {
        Finding::new(
            package.line,
            "the workspace's lints do not apply: add `[lints]` with `workspace = true`",
        )
    })
}

fn check_dependencies(content: &str, allowed: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut judge = |line: usize, name: &str| {
        if !allowed.contains(&name) {
            let advice = format!("`{name}`: this package depends only on {}", allowed.join(", "));
            found.push(Finding::new(line, advice));
        }
    };
    for section in sections(content) {
        match Dependencies::of(&section.name) {
            Dependencies::None => {}
            Dependencies::One(name) => judge(section.line, name),
            Dependencies::Listed => {
                for (line, entry) in &section.entries {
                    let end = entry.find(['.', '=', ' ']).unwrap_or(entry.len());
                    judge(*line, entry[..end].trim_matches('"'));
                }
            }
        }
    }
    found
}

/// What a section says about dependencies. Those of the build count, those of tests do not.
enum Dependencies<'name> {
    None,
    /// It has one in each line.
    Listed,
    /// It describes this one.
    One(&'name str),
}

impl<'name> Dependencies<'name> {
    fn of(section: &'name str) -> Self {
        let Some((before, after)) = section.rsplit_once("dependencies") else { return Self::None };
        if before.ends_with("dev-") || before == "workspace." {
            return Self::None;
        }
        match after.strip_prefix('.') {
            Some(name) => Self::One(name.trim_matches('"')),
            None if after.is_empty() => Self::Listed,
            None => Self::None,
        }
    }
}

#[derive(Debug)]
struct Section<'text> {
    line: usize,
    name: String,
    entries: Vec<(usize, &'text str)>,
}

fn sections(content: &str) -> Vec<Section<'_>> {
    let mut found: Vec<Section<'_>> = Vec::new();
    for (line, text) in numbered(content) {
        let text = text.split(" #").next().unwrap_or_default().trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if text.starts_with('[') && text.ends_with(']') && !text.contains('=') {
            let name = text.trim_matches(['[', ']']).trim().to_owned();
            found.push(Section { line, name, entries: Vec::new() });
        } else if text.starts_with("[target.") && text.ends_with(']') {
            let name = text[1..text.len() - 1].to_owned();
            found.push(Section { line, name, entries: Vec::new() });
        } else if let Some(section) = found.last_mut() {
            section.entries.push((line, text));
        }
    }
    found
}

fn dense(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The ABI must build for the kernel, and xtask must build in seconds whatever else is broken.
const SMALL_PACKAGES: [(&str, &[&str]); 2] =
    [("shedder-common/Cargo.toml", &["bytemuck"]), ("xtask/Cargo.toml", &["anyhow", "clap"])];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, content: &str) -> Vec<usize> {
        check(Path::new(path), content).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_member_inherits_the_lints() {
        let good = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(lines("a/Cargo.toml", good), []);
        assert_eq!(lines("a/Cargo.toml", "# A package.\n[package]\nname = \"a\"\n"), [2]);
        let own = "[package]\nname = \"a\"\n[lints.clippy]\nworkspace = true\n";
        assert_eq!(lines("a/Cargo.toml", own), [1]);
        let elsewhere =
            "[package]\n[lints]\n# workspace = true\n[dependencies]\nworkspace = true\n";
        assert_eq!(lines("a/Cargo.toml", elsewhere), [1]);
    }

    #[test]
    fn the_root_manifest_is_no_member() {
        assert_eq!(lines("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n"), []);
    }

    #[test]
    fn a_small_package_stays_small() {
        let lints = "[package]\n[lints]\nworkspace = true\n";
        let of = |rest: &str| lines("shedder-common/Cargo.toml", &format!("{lints}{rest}"));
        assert_eq!(of("[dependencies]\nbytemuck.workspace = true\n"), []);
        assert_eq!(of("[dependencies] # few\n# libc = \"1\"\nbytemuck = \"1\"\n"), []);
        assert_eq!(of("[dev-dependencies]\nproptest.workspace = true\n"), []);
        assert_eq!(of("[dependencies]\nbytemuck = \"1\"\nlibc = \"0.2\"\n"), [6]);
        assert_eq!(of("[dependencies.libc]\nworkspace = true\n"), [4]);
        assert_eq!(of("[build-dependencies]\ncc = \"1\"\n"), [5]);
        assert_eq!(of("[target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n"), [5]);
        assert_eq!(of("[target.'cfg(a = \"b\")'.dependencies]\nlibc = \"1\"\n"), [5]);
    }

    #[test]
    fn other_packages_may_depend_on_anything() {
        let content = "[package]\n[lints]\nworkspace = true\n[dependencies]\nlibc = \"1\"\n";
        assert_eq!(lines("tests/Cargo.toml", content), []);
        assert_eq!(lines("xtask/Cargo.toml", content), [5]);
    }
}
