//! The book is whole: each chapter is in its table of contents, and each link leads somewhere.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::{book, chapters, read, root};

#[test]
fn every_chapter_is_in_the_table_of_contents() {
    let summary = Path::new(SUMMARY);
    let listed: Vec<PathBuf> =
        links(&read(summary)).into_iter().map(|link| beside(summary, &link)).collect();
    let named: BTreeSet<&PathBuf> = listed.iter().collect();
    assert_eq!(named.len(), listed.len(), "a chapter is listed twice");
    let there = book();
    let there: BTreeSet<&PathBuf> = there.iter().filter(|path| *path != summary).collect();
    let missing: Vec<_> = there.difference(&named).collect();
    assert!(missing.is_empty(), "{SUMMARY} does not list {missing:?}: add a line for each");
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(gone.is_empty(), "{SUMMARY} lists {gone:?}, which are not there");
}

/// In the book there is nothing outside of it: what lies elsewhere is named, not linked.
#[test]
fn every_link_leads_somewhere() {
    let inside = Path::new("docs");
    let mut seen = 0;
    for chapter in chapters() {
        let place = chapter.display();
        for link in links(&read(&chapter)) {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = if file.is_empty() { chapter.clone() } else { beside(&chapter, file) };
            assert!(root().join(&target).exists(), "{place}: {link} leads nowhere");
            if chapter.starts_with(inside) {
                let kind = target.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
                let is_carried = target.starts_with(inside) && CARRIED.contains(&kind);
                assert!(
                    is_carried,
                    "{place}: {link} leads out of the book: write its path in backquotes"
                );
            }
            if !anchor.is_empty() {
                assert!(
                    anchors(&read(&target)).contains(anchor),
                    "{place}: {link} has no such heading"
                );
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// What headings are called in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|it| it.is_alphanumeric() || [' ', '-', '_'].contains(it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    headings.map(anchor).collect()
}

/// The path of a link in `chapter`.
fn beside(chapter: &Path, link: &str) -> PathBuf {
    let mut path = chapter.parent().expect("it is a file").to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

#[test]
fn an_anchor_is_what_a_heading_becomes() {
    let anchors = anchors("# What it costs, and why\n## `trip.latency`\n");
    assert_eq!(anchors, ["triplatency", "what-it-costs-and-why"].map(str::to_owned).into());
}

const SUMMARY: &str = "docs/SUMMARY.md";
/// Kinds of files that mdBook takes along.
const CARRIED: [&str; 4] = ["md", "png", "svg", "json"];
