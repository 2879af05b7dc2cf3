//! Each promise names a test that is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::root;

#[test]
fn every_promise_names_tests_that_exist() {
    let mut tests = BTreeSet::new();
    for directory in ["shedder-user/src", "shedder-user/tests", "shedder-common/src", "tests/tests"]
    {
        collect(&root().join(directory), &mut tests);
    }
    let chapters = ["docs/specification.md", "SECURITY.md"]
        .map(|chapter| fs::read_to_string(root().join(chapter)).expect("it is there"));
    // In SECURITY.md there is a table of something else as well.
    let rows = chapters.iter().flat_map(|chapter| chapter.split("\n\n"));
    let rows = rows.filter(|table| table.contains("| held by |")).flat_map(str::lines);
    let mut held = 0;
    for row in rows.filter(|line| line.starts_with("| ") && !line.contains("| held by |")) {
        let by = row.trim_end_matches(" |").rsplit(" | ").next().expect("a last column");
        if by == "pending" {
            continue;
        }
        let named: Vec<&str> = by.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing holds it: {row}");
        for name in named.into_iter().filter(|name| !name.starts_with("cargo xtask ")) {
            let name = name.rsplit("::").next().expect("a name");
            assert!(tests.contains(name), "there is no test {name}: {row}");
            held += 1;
        }
    }
    assert!(held > 40, "{held}");
}

/// The names of functions, among which are those of tests.
fn collect(directory: &Path, tests: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("it is text");
            let names = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
            let names = names.filter_map(|rest| rest.split(['(', '<']).next());
            tests.extend(names.map(str::to_owned));
        }
    }
}
