//! Who is let in: requests that a page of somebody else's cannot have made.
//!
//! Invariant: whoever reads the page or what it shows named this listener by an address or as
//! `localhost`, so a name that a stranger lets point here (DNS rebinding) opens nothing.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::api::refuse;

/// Lets a request through to its route, or refuses it as JSON. `listen` is where it came in.
pub(super) async fn admit(
    State(listen): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match examine(listen, &request) {
        Ok(()) => guarded(next.run(request).await),
        Err((status, why)) => guarded(refuse(status, &why)),
    }
}

fn examine(listen: SocketAddr, request: &Request) -> Result<(), (StatusCode, String)> {
    let (path, headers) = (request.uri().path(), request.headers());
    // What scrapes and probes is no browser. Where other machines may come they name this one as they like.
    let is_plain = PLAIN.contains(&path);
    match text(headers, &header::HOST) {
        Some(host) if is_trusted(host, listen) => {}
        Some(_) if is_plain && !listen.ip().is_loopback() => {}
        Some(host) => {
            let why = format!("{host:?} is not how to reach this; open http://{}/", reach(listen));
            return Err((StatusCode::MISDIRECTED_REQUEST, why));
        }
        None if is_plain => {}
        None => return Err((StatusCode::BAD_REQUEST, "the Host header is missing".to_owned())),
    }
    if is_foreign(path, request.method(), headers) {
        let why = "another site's page asked for this, and gets nothing".to_owned();
        return Err((StatusCode::FORBIDDEN, why));
    }
    let length = request.uri().path_and_query().map_or(0, |it| it.as_str().len());
    if length > MAX_TARGET_BYTES {
        let why = format!("the path and query have {length} bytes; {MAX_TARGET_BYTES} are enough");
        return Err((StatusCode::URI_TOO_LONG, why));
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body {
        let why = "nothing here takes a body; orders go to the control socket".to_owned();
        return Err((StatusCode::PAYLOAD_TOO_LARGE, why));
    }
    Ok(())
}

/// Whether a browser says that the page of another site asks. To follow a link to the page is no harm.
fn is_foreign(path: &str, method: &Method, headers: &HeaderMap) -> bool {
    let host = text(headers, &header::HOST).unwrap_or_default();
    let is_own = |origin: &str| origin.strip_prefix("http://").is_some_and(|it| it == host);
    if headers.contains_key(header::ORIGIN) && !text(headers, &header::ORIGIN).is_some_and(is_own) {
        return true;
    }
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_link =
        path == "/" && *method == Method::GET && said("sec-fetch-mode") == Some("navigate");
    !is_link && !matches!(said("sec-fetch-site"), None | Some("same-origin" | "none"))
}

/// Whether `host`, with or without a port, means this listener and can mean nothing else.
fn is_trusted(host: &str, listen: SocketAddr) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    let literal = name.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(&name);
    let Ok(address) = literal.parse::<IpAddr>() else { return false };
    let address = address.to_canonical();
    // No address is a name that somebody else lets point here.
    address.is_loopback() || address == listen.ip() || listen.ip().is_unspecified()
}

fn reach(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        format!("ADDRESS:{}", listen.port())
    } else {
        listen.to_string()
    }
}

/// Adds what keeps browsers from guessing, storing and embedding.
fn guarded(response: Response) -> Response {
    (HEADERS, response).into_response()
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

const PLAIN: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
const MAX_TARGET_BYTES: usize = 1024;
const HEADERS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(host: &str, listen: &str) -> bool {
        is_trusted(host, listen.parse().expect("an address"))
    }

    #[test]
    fn only_what_can_mean_nothing_else_is_trusted() {
        let here = "127.0.0.1:9464";
        for host in ["localhost", "LOCALHOST:9464", "a.localhost", "127.0.0.1:9464", "127.9.9.9"] {
            assert!(trusted(host, here), "{host}");
        }
        assert!(trusted("[::1]:9464", "[::1]:9464"));
        for host in [
            "",
            "evil.example",
            "evil.example:9464",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "127.0.0.1:9464:80",
            "10.0.0.1",
            "[::1",
            "localhost:80x",
        ] {
            assert!(!trusted(host, here), "{host}");
        }
    }

    #[test]
    fn an_address_other_machines_reach_is_trusted_where_it_was_configured() {
        assert!(trusted("10.0.0.1:9464", "10.0.0.1:9464"));
        assert!(!trusted("10.0.0.2:9464", "10.0.0.1:9464"));
        assert!(trusted("10.0.0.2:9464", "0.0.0.0:9464"));
        assert!(!trusted("node.example:9464", "0.0.0.0:9464"));
    }

    fn status(listen: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = axum::http::Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let outcome = examine(listen.parse().expect("an address"), &request);
        outcome.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn a_page_of_somebody_else_gets_nothing() {
        let here = "127.0.0.1:9464";
        let host = ("host", "127.0.0.1:9464");
        let api = |more: &[(&str, &str)]| status(here, "/api/v1/status", &[&[host], more].concat());
        assert_eq!(api(&[]), 200);
        assert_eq!(
            api(&[("origin", "http://127.0.0.1:9464"), ("sec-fetch-site", "same-origin")]),
            200
        );
        for origin in
            ["http://evil.example", "null", "http://localhost:9464", "https://127.0.0.1:9464"]
        {
            assert_eq!(api(&[("origin", origin)]), 403, "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert_eq!(api(&[("sec-fetch-site", site)]), 403, "{site}");
        }
        // A link may lead to the page, but no other site may embed what it shows.
        let link = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(status(here, "/", &link), 200);
        assert_eq!(status(here, "/api/v1/status", &link), 403);
    }

    #[test]
    fn scrapers_may_name_a_node_that_is_open_to_them_as_they_like() {
        let named = [("host", "node.example:9464")];
        assert_eq!(status("0.0.0.0:9464", "/metrics", &named), 200);
        assert_eq!(status("0.0.0.0:9464", "/", &named), 421);
        assert_eq!(status("127.0.0.1:9464", "/metrics", &named), 421);
        assert_eq!(status("127.0.0.1:9464", "/metrics", &[]), 200);
        assert_eq!(status("127.0.0.1:9464", "/", &[]), 400);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let host = ("host", "localhost");
        let long = format!("/api/v1/explain?endpoint={}", "1".repeat(1024));
        assert_eq!(status("127.0.0.1:1", &long, &[host]), 414);
        assert_eq!(status("127.0.0.1:1", "/", &[host, ("content-length", "1")]), 413);
        assert_eq!(status("127.0.0.1:1", "/", &[host, ("transfer-encoding", "chunked")]), 413);
        assert_eq!(status("127.0.0.1:1", "/", &[host, ("content-length", "0")]), 200);
    }
}
