//! Names that others chose, made fit for a terminal and for one line.
//!
//! Invariant: what comes out moves no cursor, ends no line and shows in the order it has.

use std::borrow::Cow;

/// `text` with what is no visible character written out: a process may call itself anything, and a cgroup
/// nearly so.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_visible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_visible(character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    Cow::Owned(shown)
}

/// What the standard library does not write out; quotes and backslashes, which it does, harm nothing.
fn is_visible(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (name, shown) in [
            ("nginx: worker", "nginx: worker"),
            (r#"dev-sda\x2d1 'q' "w""#, r#"dev-sda\x2d1 'q' "w""#),
            ("größe 名前", "größe 名前"),
            ("\x1b[2J\x07", r"\u{1b}[2J\u{7}"),
            ("a\nb\tc\r", r"a\nb\tc\r"),
            // Turns the direction of writing round; moves nothing but says something else.
            ("a\u{202e}b\u{200b}", r"a\u{202e}b\u{200b}"),
            ("\u{9b}2J", r"\u{9b}2J"),
        ] {
            assert_eq!(printable(name), shown);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_steers_is_left(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(char::is_control));
        }
    }
}
