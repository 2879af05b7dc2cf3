//! The page for people: one document, put together from its parts when the program is built.
//!
//! Invariant: a browser runs and loads nothing but what is in it, and shows it nowhere inside another page.

use std::fmt::Write as _;

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

use crate::api::refuse;

pub(super) async fn dashboard() -> Response {
    let Some(nonce) = nonce() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the kernel gives no random number yet");
    };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
    (headers, Html(PAGE.replace("{{nonce}}", &nonce))).into_response()
}

/// What nobody can guess who would have the page run something of theirs.
fn nonce() -> Option<String> {
    let mut bytes = [0_u8; 16];
    let filled =
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK).ok()?;
    (filled == bytes.len()).then(|| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("to a string");
            text
        })
    })
}

const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style nonce=\"{{nonce}}\">\n",
    include_str!("page/colours.css"),
    include_str!("page/layout.css"),
    include_str!("page/panels.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script nonce=\"{{nonce}}\">\n\"use strict\";\n",
    include_str!("page/words.js"),
    include_str!("page/store.js"),
    include_str!("page/map.js"),
    include_str!("page/timeline.js"),
    include_str!("page/heatmap.js"),
    include_str!("page/detail.js"),
    include_str!("page/keys.js"),
    include_str!("page/live.js"),
    "</script>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_nothing_outside_itself() {
        for outside in [
            "http://",
            "https://",
            "//cdn",
            "@import",
            "url(",
            "<link rel=\"stylesheet",
            " style=\"",
        ] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        assert_eq!(PAGE.matches("{{nonce}}").count(), 2);
        assert_eq!(PAGE.matches("<script").count(), 1, "one script, with the nonce");
    }

    /// The page has no way to change anything: it only ever reads.
    #[test]
    fn the_page_only_reads() {
        for word in ["POST", "PUT", "DELETE", "XMLHttpRequest", "sendBeacon", "innerHTML", "eval("]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
    }

    #[test]
    fn no_two_nonces_are_the_same() {
        let (one, two) = (nonce().expect("random"), nonce().expect("random"));
        assert_eq!(one.len(), 32);
        assert_ne!(one, two);
    }
}
