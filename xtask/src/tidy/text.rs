//! Rules for any text: white space, and words that mean "unfinished".
//!
//! Invariant: nothing here knows a programming language.

use super::Finding;

/// Trailing white space and tabs.
pub(super) fn check_whitespace(content: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, text) in numbered(content) {
        if text.trim_end() != text {
            found.push(Finding::new(line, "trailing white space: remove it"));
        } else if text.contains('\t') {
            found.push(Finding::new(line, "a tab: use spaces"));
        }
    }
    found
}

/// Words that promise later work.
pub(super) fn check_unfinished(content: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, text) in numbered(content) {
        for word in UNFINISHED.iter().filter(|word| has_word(text, word)) {
            let advice = format!("`{word}`: finish it, or say what is as it is");
            found.push(Finding::new(line, advice));
        }
    }
    found
}

/// The lines of a text with their numbers, counted from 1.
pub(super) fn numbered(content: &str) -> impl Iterator<Item = (usize, &str)> {
    content.split('\n').zip(1..).map(|(text, line)| (line, text))
}

/// Whether `text` has `word` with nothing that belongs to an identifier around it.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let in_identifier = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(in_identifier) && !after.is_some_and(in_identifier)
    })
}

const UNFINISHED: [&str; 2] = ["TODO", "FIXME"];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(found: &[Finding]) -> Vec<usize> {
        found.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn white_space_is_found_where_it_is() {
        assert_eq!(lines(&check_whitespace("one\ntwo \n\tthree\nfour\t\n")), [2, 3, 4]);
        assert!(check_whitespace("one\n\n    two\n").is_empty());
        assert_eq!(lines(&check_whitespace("windows\r\n")), [1]);
    }

    #[test]
    fn unfinished_work_is_found_as_a_word() {
        assert_eq!(lines(&check_unfinished("fine\nTODO: more\n(FIXME)\n")), [2, 3]);
        assert!(check_unfinished("a TODOLIST, MY_TODO and a todo\n").is_empty());
    }

    #[test]
    fn a_word_ends_where_the_identifier_does() {
        assert!(has_word("use aya::maps;", "aya"));
        assert!(!has_word("use himalaya::maps;", "aya"));
        assert!(!has_word("let aya_map = 1;", "aya"));
    }
}
