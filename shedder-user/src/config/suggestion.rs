//! What somebody may have meant.
//!
//! Invariant: a suggestion is one of the names there are, and so near that chance hardly explains it.

/// The end of a complaint about a name: what was meant, if that can be guessed.
pub(crate) fn did_you_mean<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(wanted, known).map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// As [`did_you_mean`], for a message that names what there is in backquotes, the wrong name first.
pub(super) fn for_quoted(message: &str) -> String {
    if !message.starts_with("unknown ") {
        return String::new();
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    quoted.next().map_or_else(String::new, |wanted| did_you_mean(wanted, quoted))
}

fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let of = |name: &'a str| (strsim::osa_distance(wanted, name), name);
    let (distance, name) = known.into_iter().map(of).min_by_key(|(distance, _)| *distance)?;
    let longest = wanted.chars().count().max(name.chars().count());
    (distance < longest && distance <= longest.div_ceil(3)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_guess_is_not() {
        let known = ["web", "db", "payments", "max_endpoints"];
        for (wanted, meant) in [
            ("wbe", Some("web")),
            ("bd", Some("db")),
            ("payment", Some("payments")),
            ("maxendpoint", Some("max_endpoints")),
            ("cache", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, known), meant, "{wanted}");
        }
        assert_eq!(nearest("a", ["b"]), None);
        assert_eq!(nearest("web", []), None);
    }

    #[test]
    fn the_library_says_what_there_is() {
        let message = "unknown field `tik`, expected one of `tick`, `socket`";
        assert_eq!(for_quoted(message), "; did you mean \"tick\"?");
        assert_eq!(for_quoted("unknown field `zzz`, there are no fields"), "");
        assert_eq!(for_quoted("missing field `name`"), "");
    }
}
