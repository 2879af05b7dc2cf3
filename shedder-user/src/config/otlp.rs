//! Where a collector is, as the policy file says it.
//!
//! Invariant: whatever passes can be put into a request as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Uri;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue};

use super::error::Complaint;
use super::value::Text;

/// A collector that takes OTLP over HTTP, in protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What stands before `/v1/traces`; nothing, or a path that begins with a slash and ends without one.
    pub path: String,
    /// Sent with every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How often metrics are sent.
    pub interval: Duration,
}

impl Otlp {
    /// Host and port, as in a URL.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Checks what the file says.
    pub(super) fn of(
        url: &Text,
        headers: BTreeMap<String, Text>,
        interval: Duration,
    ) -> Result<Self, Complaint> {
        let text = &url.value;
        let nonsense = || {
            url.complaint(format!(
                "{text:?} is no address of a collector; write http://127.0.0.1:4318"
            ))
        };
        let uri: Uri = text.parse().map_err(|_not_an_url| nonsense())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(nonsense());
        };
        if scheme == "https" {
            return Err(url.complaint(
                "otlp begins with https, and shedder speaks no TLS: name a collector on this node, such as http://127.0.0.1:4318, and let that one encrypt",
            ));
        }
        if scheme != "http" || uri.query().is_some() {
            return Err(nonsense());
        }
        if authority.as_str().contains('@') {
            let remedy = "otlp_headers = { authorization = \"Basic …\" }";
            return Err(url.complaint(format!("otlp must not hold a password; write {remedy}")));
        }
        let Some(port) = authority.port_u16() else {
            return Err(url.complaint(format!("{text:?} has no port; write http://host:4318")));
        };
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port,
            path: uri.path().trim_end_matches('/').to_owned(),
            headers: headers.into_iter().map(header).collect::<Result<_, _>>()?,
            interval,
        })
    }
}

fn header((name, text): (String, Text)) -> Result<(HeaderName, HeaderValue), Complaint> {
    let is_ours = |name: &HeaderName| [HOST, CONTENT_TYPE, CONTENT_LENGTH].contains(name);
    let key = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !is_ours(name));
    let Some(key) = key else {
        return Err(text.complaint(format!("{name:?} in otlp_headers is no header to add")));
    };
    let Ok(mut value) = HeaderValue::from_str(&text.value) else {
        return Err(text.complaint(format!("the value of {name} in otlp_headers is no text")));
    };
    // Never shown, as it may be a secret.
    value.set_sensitive(true);
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What is made of these lines of `[node]`.
    fn node(lines: &str) -> Result<Option<Otlp>, String> {
        let text = format!(
            "[node]\n{lines}\n[[caller]]\nname = \"a\"\ncgroups = [\"/a\"]\n[[service]]\nname = \"b\"\nendpoints = [\"127.0.0.1:1\"]\n[[policy]]\ncaller = \"a\"\nservice = \"b\"\n"
        );
        let config = Config::parse("f", &text).map_err(|error| error.to_string())?;
        Ok(config.node.otlp)
    }

    #[test]
    fn a_collector_is_host_port_and_path() {
        assert_eq!(node(""), Ok(None));
        for (url, host, port, path) in [
            ("http://127.0.0.1:4318", "127.0.0.1", 4318, ""),
            ("http://127.0.0.1:4318/", "127.0.0.1", 4318, ""),
            ("http://[::1]:80/otlp/", "::1", 80, "/otlp"),
            ("http://collector.local:4318/a/b", "collector.local", 4318, "/a/b"),
        ] {
            let otlp = node(&format!("otlp = \"{url}\"")).expect(url).expect("it is there");
            assert_eq!((otlp.host.as_str(), otlp.port, otlp.path.as_str()), (host, port, path));
            assert!(url.starts_with(&format!("http://{}", otlp.authority())), "{url}");
            assert_eq!(otlp.interval, Duration::from_secs(30));
        }
    }

    #[test]
    fn what_is_no_collector_is_told_at_its_place() {
        for (lines, place, said) in [
            ("otlp = \"127.0.0.1:4318\"", "2:8", "write http://127.0.0.1:4318"),
            ("otlp = \"ftp://a:1\"", "2:8", "write http://127.0.0.1:4318"),
            ("otlp = \"http://a:1/?b\"", "2:8", "write http://127.0.0.1:4318"),
            ("otlp = \"http://a\"", "2:8", "has no port"),
            ("otlp = \"https://a:4318\"", "2:8", "speaks no TLS"),
            ("otlp = \"http://u:p@a:4318\"", "2:8", "must not hold a password"),
            ("otlp_headers = { a = \"b\" }", "2:22", "otlp_headers without otlp"),
            ("otlp = \"http://a:1\"\notlp_headers = { host = \"b\" }", "3:25", "no header to add"),
            (
                "otlp = \"http://a:1\"\notlp_headers = { \"a b\" = \"b\" }",
                "3:26",
                "no header to add",
            ),
            ("otlp = \"http://a:1\"\notlp_headers = { a = \"b\\n\" }", "3:22", "is no text"),
            ("otlp = \"http://a:1\"\notlp_interval = \"10ms\"", "3:17", "outside 1s to 3600s"),
        ] {
            let error = node(lines).expect_err(lines);
            assert!(error.starts_with(&format!("f:{place}: ")) && error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_header_may_be_a_secret() {
        let lines = "otlp = \"http://a:1\"\notlp_headers = { authorization = \"Bearer abc\" }";
        let otlp = node(lines).expect("good").expect("it is there");
        assert_eq!(otlp.headers[0].1, "Bearer abc");
        assert!(!format!("{otlp:?}").contains("abc"), "{otlp:?}");
    }
}
