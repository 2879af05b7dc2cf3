//! Takes Rust source apart into its code and its comments.
//!
//! Invariant: both layers have the lines and columns of the source, with spaces where the other
//! layer is; the text of strings and characters is in neither.

/// The two layers of a source text.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::tidy) struct Layers {
    /// What the compiler acts on, without the text of strings.
    pub(in crate::tidy) code: String,
    /// What people read, doc comments too.
    pub(in crate::tidy) comments: String,
}

impl Layers {
    /// Take a source text apart.
    pub(in crate::tidy) fn of(source: &str) -> Self {
        let mut splitter = Splitter {
            rest: source,
            previous: ' ',
            layers: Self {
                code: String::with_capacity(source.len()),
                comments: String::with_capacity(source.len()),
            },
        };
        while !splitter.rest.is_empty() {
            splitter.step();
        }
        splitter.layers
    }
}

struct Splitter<'source> {
    rest: &'source str,
    /// The last letter of code, to tell `r"` from the end of an identifier.
    previous: char,
    layers: Layers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Code,
    Comment,
    Neither,
}

impl Splitter<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.take(rest.find('\n').unwrap_or(rest.len()), Layer::Comment);
        } else if rest.starts_with("/*") {
            self.take(block_comment_length(rest), Layer::Comment);
        } else if let Some(length) = self.raw_string_length() {
            self.take(length, Layer::Neither);
        } else if rest.starts_with('"') {
            self.take(quoted_length(rest, '"'), Layer::Neither);
        } else if is_character_literal(rest) {
            self.take(quoted_length(rest, '\''), Layer::Neither);
        } else {
            self.take(rest.chars().next().map_or(0, char::len_utf8), Layer::Code);
        }
    }

    /// Move this many bytes of the source into a layer.
    fn take(&mut self, length: usize, layer: Layer) {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        for letter in taken.chars() {
            let only_in =
                |wanted: Layer| if layer == wanted || letter == '\n' { letter } else { ' ' };
            self.layers.code.push(only_in(Layer::Code));
            self.layers.comments.push(only_in(Layer::Comment));
            self.previous = only_in(Layer::Code);
        }
    }

    /// The length of `r#"…"#` at the start of the rest, if there is one; a `b` or `c` before it
    /// was taken as code.
    fn raw_string_length(&self) -> Option<usize> {
        let after_r = self.rest.strip_prefix('r')?;
        let in_identifier = self.previous.is_alphanumeric() || self.previous == '_';
        if in_identifier && !matches!(self.previous, 'b' | 'c') {
            return None;
        }
        let hashes = after_r.len() - after_r.trim_start_matches('#').len();
        let body = after_r[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let opening = 1 + hashes + 1;
        Some(body.find(&end).map_or(self.rest.len(), |at| opening + at + end.len()))
    }
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length up to the closing quote, which a backslash before it does not make.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == quote {
            return at + letter.len_utf8();
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are characters, `'a` alone is a lifetime.
fn is_character_literal(rest: &str) -> bool {
    let mut letters = rest.chars();
    letters.next() == Some('\'') && (letters.next() == Some('\\') || letters.next() == Some('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> String {
        Layers::of(source).code
    }

    #[test]
    fn comments_are_taken_out_of_the_code() {
        let layers = Layers::of("a(); // b\nc(); /* d /* e */ f\n g */ h();\n");
        assert_eq!(layers.code, format!("a();     \nc();{}\n      h();\n", " ".repeat(15)));
        assert_eq!(layers.comments, "     // b\n     /* d /* e */ f\n g */     \n");
    }

    #[test]
    fn strings_are_in_neither_layer() {
        assert_eq!(code(r#"f("// \" no", 1)"#), r"f(          , 1)");
        assert_eq!(code(r##"f(r#"a " b"#, br"c")"##), r"f(          , b    )");
        assert_eq!(Layers::of("\"// no\"").comments, "       ");
    }

    #[test]
    fn an_unusual_start_of_a_string_is_recognised() {
        assert_eq!(code(r#"r#type + var"x""#), r"r#type + var   ");
        assert_eq!(code("\"a\nb\" c"), "  \n   c");
    }

    #[test]
    fn characters_are_no_lifetimes() {
        assert_eq!(code(r#"f('"', '\'', x)"#), r"f(   ,     , x)");
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn an_open_end_is_no_trap() {
        for source in ["\"open", "/* open", "r#\"open", "'\\", "//", "'"] {
            assert_eq!(code(source).len(), source.len(), "{source}");
        }
    }
}
