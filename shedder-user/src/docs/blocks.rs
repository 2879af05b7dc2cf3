//! The fenced blocks of a chapter, and what stands in backquotes.

use std::path::Path;

use super::{chapters, read};

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// File and line, for complaints.
    pub(super) place: String,
    /// What stands behind the fence: a language, and more after a comma.
    pub(super) info: String,
    pub(super) text: String,
}

/// Every block of every chapter.
pub(super) fn blocks() -> Vec<Block> {
    chapters().iter().flat_map(|chapter| of_text(chapter, &read(chapter)).0).collect()
}

/// What stands in backquotes within the text of every chapter, each with its place.
pub(super) fn spans() -> Vec<(String, String)> {
    let of = |chapter: &Path| {
        let text = of_text(chapter, &read(chapter)).1;
        // A span may go over the end of a line; a paragraph ends it.
        let paragraphs: Vec<String> =
            text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        paragraphs
            .iter()
            .flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2))
            .map(|span| (chapter.display().to_string(), span.to_owned()))
            .collect::<Vec<_>>()
    };
    chapters().iter().flat_map(|chapter| of(chapter)).collect()
}

/// The blocks of a text, and the text without them.
fn of_text(chapter: &Path, text: &str) -> (Vec<Block>, String) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut rest = String::new();
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), is_inside) {
            (Some(info), false) => {
                is_inside = true;
                let place = format!("{}:{}", chapter.display(), index + 1);
                blocks.push(Block { place, info: info.to_owned(), text: String::new() });
            }
            (Some(_), true) => is_inside = false,
            (None, true) => {
                let block = blocks.last_mut().expect("one was begun");
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {
                rest.push_str(line);
                rest.push('\n');
            }
        }
    }
    assert!(!is_inside, "{}: a block does not end", chapter.display());
    (blocks, rest)
}

#[test]
fn every_block_says_what_it_is() {
    let known =
        ["sh", "console", "toml", "toml,fragment", "toml,scenario", "text", "ini", "json", "yaml"];
    for Block { place, info, .. } in blocks() {
        assert!(known.contains(&info.as_str()), "{place}: ```{info} is none of {known:?}");
    }
}

#[test]
fn text_and_blocks_are_told_apart() {
    let text = "a `b\nc` d\n```sh\nshedder top\n```\nend `e`\n";
    let (blocks, rest) = of_text(Path::new("f"), text);
    assert_eq!((blocks.len(), blocks[0].place.as_str()), (1, "f:3"));
    assert_eq!((blocks[0].info.as_str(), blocks[0].text.as_str()), ("sh", "shedder top\n"));
    assert_eq!(rest, "a `b\nc` d\nend `e`\n");
}
