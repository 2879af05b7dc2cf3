//! What is read over TCP by people's browsers: every request that is not what it should be is refused as
//! JSON, and nobody learns there whose connects were refused.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use shedder_tests::backend::Behaviour;
use shedder_tests::daemon::Daemon;
use shedder_tests::web::{Page, fetch, request};

use crate::metrics::with_pages;
use crate::scene::{LASTING, PATIENCE, backend, caller, open};

#[test]
fn what_is_wrong_is_refused_as_json() {
    let (_caller, cgroup) = caller("routes");
    let backend = backend(Behaviour::Healthy);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    let long = "1".repeat(2_000);
    let host = format!("host: {pages}");
    let own = |line: &str| format!("{line} HTTP/1.1\r\n{host}\r\nconnection: close\r\n");
    for (request, status, said) in [
        (own("GET /api/v1/status?colour=red"), 400, "unknown field"),
        (own("GET /api/v1/explain"), 400, "name an endpoint or a pid, not both"),
        (own("GET /api/v1/explain?pid=x"), 400, "invalid digit"),
        (own("GET /api/v1/explain?pid=1"), 403, "over the control socket only"),
        (own("GET /api/v1/explain?endpoint=db"), 422, "write address:port"),
        (own("GET /api/v1/explain?endpoint=192.0.2.1:1"), 422, "has no breaker"),
        (own("GET /api/v1/histogram"), 400, "missing field"),
        (own("GET /api/v1/histogram?endpoint=192.0.2.1:1"), 422, "has no breaker"),
        (own("GET /api/v1/events?follow=true"), 400, "ask for /api/v1/stream"),
        (own("GET /api/v1/events?follow=maybe"), 400, "provided string was not"),
        (own("GET /api/v1/override"), 404, "no such route"),
        (own("GET /api/v1/"), 404, "no such route"),
        (own("POST /api/v1/status"), 405, "what reads is GET"),
        (own("DELETE /api/v1/stream"), 405, "what reads is GET"),
        (own(&format!("GET /api/v1/explain?endpoint={long}")), 414, "1024 are enough"),
        (
            own("GET /api/v1/status") + "content-length: 9999999\r\n",
            413,
            "nothing here takes a body",
        ),
        (own("GET /api/v1/status") + "origin: http://evil.example\r\n", 403, "another site"),
        (own("GET /") + "origin: http://evil.example\r\n", 403, "another site"),
        (own("GET /api/v1/stream") + "sec-fetch-site: cross-site\r\n", 403, "another site"),
        (
            "GET /api/v1/status HTTP/1.1\r\nhost: evil.example\r\n".to_owned(),
            421,
            "not how to reach this",
        ),
        ("GET / HTTP/1.1\r\nhost: evil.example:80\r\n".to_owned(), 421, "not how to reach this"),
        (
            "GET /metrics HTTP/1.1\r\nhost: evil.example:80\r\n".to_owned(),
            421,
            "not how to reach this",
        ),
        ("GET /api/v1/status HTTP/1.0\r\n".to_owned(), 400, "the Host header is missing"),
    ] {
        let page = ask(pages, &request);
        let error: Value = serde_json::from_str(&page.text)
            .unwrap_or_else(|error| panic!("{request}: {error}: {page:?}"));
        assert_eq!(page.status, status, "{request}: {error}");
        let text = error["error"].as_str().expect("it says why");
        assert!(text.contains(said), "{request}: {text}");
        assert!(page.head.to_lowercase().contains("x-content-type-options: nosniff"), "{page:?}");
    }
    // More than this hyper refuses before there is a request.
    let headers = own("GET /") + &format!("x-filler: {}\r\n", "1".repeat(40_000));
    assert_eq!(ask(pages, &headers).status, 431);
}

/// The control socket answers its own in the same words.
#[test]
fn the_control_socket_refuses_as_json_too() {
    let (_caller, cgroup) = caller("socket-routes");
    let backend = backend(Behaviour::Healthy);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let big = "x".repeat(100_000);
    for (line, body, status, said) in [
        ("DELETE /v1/status", "", 405, "what reads is GET"),
        ("GET /v1/override", "", 405, "what reads is GET"),
        ("GET /v1/nothing", "", 404, "no such route"),
        ("POST /v1/override", "{", 400, "malformed order"),
        ("POST /v1/override", big.as_str(), 413, "an order is a few lines"),
        ("GET /v1/explain?endpoint=db", "", 422, "write address:port"),
    ] {
        let mut stream =
            std::os::unix::net::UnixStream::connect(daemon.socket()).expect("it listens");
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it is taken");
        // It may have refused before all of a body was sent.
        drop(stream.write_all(body.as_bytes()));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {head}");
        assert!(body.starts_with("{\"error\":") && body.contains(said), "{line}: {body}");
    }
}

/// Any local user may read here, so it is not told whose connects were refused.
#[test]
fn nobody_is_named_to_those_who_may_not_use_the_socket() {
    let (mut caller, cgroup) = caller("named");
    let backend = backend(Behaviour::Refuse);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    drop(open(&daemon, &mut caller, backend.addr()));
    caller.call(backend.addr(), PATIENCE).expect("it lives");
    let endpoint = backend.addr().to_string();
    let told = crate::explain::explain(&daemon, &[&endpoint], 1);
    assert_eq!(told.refusals[0].comm, "lab-caller", "the socket tells it");

    let path = format!("/api/v1/explain?endpoint={endpoint}");
    let page = fetch(pages, &path).expect("it answers");
    let told: Value = serde_json::from_str(&page.text).expect("JSON");
    assert_eq!(told["refusals"][0]["cause"], "open");
    assert_eq!(told["breakers"][0]["rules"][0], "trip.consecutive = 3");
    for path in [&path, "/api/v1/events", "/api/v1/status"] {
        let text = fetch(pages, path).expect("it answers").text;
        assert!(text.contains(&endpoint), "{path}: {text}");
        for name in ["lab-caller", "\"uid\"", "\"comm\"", &format!("\"pid\":{}", caller.pid())] {
            assert!(!text.contains(name), "{path} names {name}: {text}");
        }
    }
}

/// The page comes with a policy that lets it load nothing from elsewhere.
#[test]
fn the_page_is_sealed() {
    let (_caller, cgroup) = caller("sealed");
    let backend = backend(Behaviour::Healthy);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    let (one, two) = (fetch(pages, "/").expect("a page"), fetch(pages, "/").expect("a page"));
    let head = one.head.to_lowercase();
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'nonce-",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "cross-origin-resource-policy: same-origin",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    assert!(!head.contains("access-control"), "{head}");
    assert_ne!(one.text, two.text, "the nonce is used once");
}

/// So many look on at once; one more is told so, and one that leaves makes room.
#[test]
fn those_who_look_on_are_counted() {
    let (_caller, cgroup) = caller("lookers");
    let backend = backend(Behaviour::Healthy);
    let text = with_pages("", &cgroup, &[backend.addr()], LASTING);
    let daemon = Daemon::start(&text).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    let look = || {
        let mut stream = TcpStream::connect(pages).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let asked = format!("GET /api/v1/stream HTTP/1.1\r\nhost: {pages}\r\n\r\n");
        stream.write_all(asked.as_bytes()).expect("it is taken");
        read_until(&mut stream, "\r\n\r\n").map(|head| (stream, head))
    };
    let mut lookers: Vec<_> = (0..8).map(|_| look().expect("there is room")).collect();
    for (stream, head) in &mut lookers {
        assert!(head.contains("200 OK") && head.contains("text/event-stream"), "{head}");
        // Longer than other conversations may last.
        for _ in 0..2 {
            read_until(stream, "event: glance\ndata: {").expect("it is live");
        }
    }
    let (_, head) = look().expect("an answer");
    assert!(head.contains("503"), "{head}");
    drop(lookers.pop());
    crate::scene::wait_for("there is room again", || {
        look().is_ok_and(|(_, head)| head.contains("200 OK"))
    });
}

/// Those who follow and do not read lose their places, and nobody else loses anything.
#[test]
fn who_does_not_keep_up_is_dropped() {
    let (_caller, cgroup) = caller("sluggish");
    let endpoints: Vec<SocketAddr> =
        (1..=200).map(|host| SocketAddr::from(([127, 2, 0, host], 9200))).collect();
    let daemon = Daemon::start(&with_pages("", &cgroup, &endpoints, LASTING)).expect("it starts");
    let pages = daemon.pages().expect("it has pages");
    let follow = |room: usize| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_recv_buffer_size(room).expect("it may be small");
        socket.connect(&pages.into()).expect("it listens");
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let asked = format!("GET /api/v1/stream HTTP/1.1\r\nhost: {pages}\r\n\r\n");
        stream.write_all(asked.as_bytes()).expect("it is taken");
        let head = read_until(&mut stream, "\r\n\r\n").unwrap_or_default();
        (stream, head.contains("200 OK"))
    };
    let sluggish: Vec<_> = (0..8).map(|_| follow(4096)).collect();
    assert!(sluggish.iter().all(|(_, is_told)| *is_told), "there is room for all");
    assert!(!follow(4096).1, "and for no more");
    assert_eq!(fetch(pages, "/readyz").expect("it answers").status, 200);
    let mut tries = 0..60;
    let freed = tries.any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        follow(1 << 20).1
    });
    assert!(freed, "they keep their places for ever");
    drop(sluggish);
}

/// A line as it is sent, and what comes back.
fn ask(pages: SocketAddr, head: &str) -> Page {
    request(pages, &format!("{head}\r\n"), PATIENCE).expect("it answers")
}

fn read_until(stream: &mut TcpStream, end: &str) -> std::io::Result<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end.as_bytes()) {
        stream.read_exact(&mut byte)?;
        read.extend(byte);
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}
