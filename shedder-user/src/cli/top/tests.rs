//! The view on screens of two sizes, and what keys make of it.

mod drawing;
mod ordering;

use std::time::{Duration, SystemTime};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::look::Look;
use super::view::{Command, Input, View};
use crate::api::model::{
    Breaker, Bucket, Datagrams, Event, EventKind, Histogram, Histograms, InFlight, Next, Node,
    Outcomes, Ports, Reason, Status, Traffic, Verdict, Window,
};
use crate::cli::output::Glyphs;

const COLOURS: Look = Look { has_colours: true, glyphs: Glyphs::Unicode };
const PLAIN: Look = Look { has_colours: false, glyphs: Glyphs::Ascii };

/// A view that has been told of these breakers.
fn view(look: Look, breakers: Vec<Breaker>) -> View {
    let mut view = View::new(look, Duration::from_secs(1));
    tell(&mut view, breakers, 0);
    view
}

/// A status of some second.
fn tell(view: &mut View, breakers: Vec<Breaker>, second: u64) -> Option<Command> {
    view.update(Input::Status(Status { breakers, node: node() }, at(second)))
}

fn at(second: u64) -> SystemTime {
    humantime::parse_rfc3339("2026-01-02T03:04:05Z").expect("a time") + Duration::from_secs(second)
}

fn press(view: &mut View, keys: &str) -> Option<Command> {
    let mut last = None;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            letter => KeyCode::Char(letter),
        };
        last = view.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    last
}

fn draw(view: &View, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test's terminal");
    terminal.draw(|frame| view.render(frame.buffer_mut())).expect("it draws");
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    let cells = buffer.content().chunks(width);
    cells.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect()).collect()
}

fn text(view: &View, width: u16, height: u16) -> String {
    lines(&draw(view, width, height)).join("\n")
}

fn breaker(service: &str, endpoint: &str, state: &str) -> Breaker {
    Breaker {
        caller: "web".to_owned(),
        service: service.to_owned(),
        policy: format!("web/{service}"),
        endpoint: endpoint.to_owned(),
        network: None,
        state: state.to_owned(),
        would_be: None,
        since: "2026-01-02T03:03:05Z".to_owned(),
        reason: None,
        window: Window { attempts: 0, failures: 0, failure_share: 0.0, p50_us: None, p99_us: None },
        outcomes: Outcomes::default(),
        in_flight: InFlight::default(),
        traffic: Traffic::default(),
        ports: Ports::default(),
        verdict: Verdict {
            action: "allow".to_owned(),
            expires_in_ms: None,
            sheds_after_failures: None,
            errno: None,
            delay_ms: None,
            redirect_to: None,
            admit_permille: 0,
            observe: false,
        },
        shed_total: 0,
        burst_shed_total: 0,
        allowed_total: 100,
        would_shed_total: 0,
        enforce_percent: 100,
        datagrams: Datagrams::default(),
        destroyed: 0,
        connects_per_second: 12.5,
        level: 0,
        flapping: false,
        suspended: false,
        next: None,
    }
}

/// One that refuses, for three failures in a row.
fn opened(service: &str, endpoint: &str) -> Breaker {
    let calm = breaker(service, endpoint, "open");
    Breaker {
        verdict: Verdict {
            action: "deny".to_owned(),
            errno: Some("ECONNREFUSED".to_owned()),
            ..calm.verdict.clone()
        },
        window: Window {
            attempts: 4,
            failures: 3,
            failure_share: 0.75,
            p50_us: Some(900),
            p99_us: Some(99_900),
        },
        outcomes: Outcomes { answered: 1, refused: 3, ..Outcomes::default() },
        shed_total: 97,
        reason: Some(Reason {
            strategy: "consecutive".to_owned(),
            text: "3 failures in a row (limit 3)".to_owned(),
            numbers: None,
        }),
        next: Some(Next { state: "half_open".to_owned(), at: "2026-01-02T03:04:09Z".to_owned() }),
        ..calm
    }
}

fn transition(sequence: u64, endpoint: &str, from: &str, to: &str) -> Event {
    let kind = EventKind::Transition {
        caller: "web".to_owned(),
        service: "db".to_owned(),
        policy: "web/db".to_owned(),
        endpoint: endpoint.to_owned(),
        network: None,
        from: from.to_owned(),
        to: to.to_owned(),
        reason: Reason {
            strategy: "consecutive".to_owned(),
            text: format!("reason number {sequence}"),
            numbers: None,
        },
        scope: None,
        restraint: None,
        level: 0,
        flapping: false,
        next: None,
        window: breaker("db", endpoint, to).window,
        observe: false,
        generation: 1,
    };
    Event {
        sequence,
        at: format!("2026-01-02T03:04:{sequence:02}.000Z"),
        kind,
        text: String::new(),
    }
}

fn histograms() -> Histograms {
    let bucket = |from_us: u64, count| Bucket { from_us, below_us: from_us * 9 / 8, count };
    let of = |buckets: Vec<Bucket>| Histogram {
        samples: buckets.iter().map(|bucket| bucket.count).sum(),
        p50_us: Some(64),
        p99_us: Some(4_096),
        buckets,
    };
    Histograms {
        breakers: Vec::new(),
        connect: of(vec![bucket(64, 40)]),
        response: of(vec![bucket(64, 300), bucket(512, 30), bucket(4_096, 3)]),
        round_trip: None,
    }
}

fn node() -> Node {
    Node {
        version: "0.1.0".to_owned(),
        pid: 1,
        started: String::new(),
        tick_ms: 100,
        verdict_ttl_ms: 3_000,
        listen: None,
        generation: 1,
        loaded: String::new(),
        reload_error: None,
        journal_error: None,
        cgroups: vec![crate::api::model::Cgroup {
            path: "/a".to_owned(),
            caller: "web".to_owned(),
            cohort: 0,
        }],
        endpoints: 1,
        max_endpoints: 1,
        events_lost: 0,
        events_undecodable: 0,
        untagged: 0,
        stored_tags: 0,
        untold_ends: 0,
        actions_failed: 0,
        held: 0,
        holds_over: 0,
        degradations: Vec::new(),
    }
}
