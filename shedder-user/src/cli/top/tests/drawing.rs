//! What is on the screen.

use ratatui::style::Color;

use super::*;

fn three() -> Vec<Breaker> {
    let watched = Breaker {
        would_be: Some("open".to_owned()),
        ..breaker("search", "10.0.0.9:9200", "observe")
    };
    vec![
        breaker("db", "10.0.0.11:5432", "forced_closed"),
        opened("db", "[2001:db8:1234:5678:9abc:def0:1234:5678]:5432"),
        watched,
    ]
}

/// The row of the list that holds `part`.
fn row(view: &View, part: &str) -> String {
    let lines = lines(&draw(view, 80, 24));
    let found = lines.iter().position(|line| line.contains(part));
    lines[found.unwrap_or_else(|| panic!("no {part} in {lines:#?}"))].clone()
}

#[test]
fn a_small_screen_says_what_is_shed_and_why() {
    let view = view(PLAIN, three());
    let group = row(&view, "called by web: 1 open");
    assert!(
        group.starts_with("db, called by web: 1 open, 1 forced_closed, 25.0 connects/s"),
        "{group}"
    );
    let held = row(&view, "10.0.0.11:5432");
    for part in ["forced_closed", " 12.5 "] {
        assert!(held.contains(part), "{part} is missing in {held}");
    }
    // Of an address that is too long what tells it from its neighbours is left.
    let open = row(&view, "~9abc:def0:1234:5678]:5432".get(6..).expect("shorter"));
    for part in [" open ", " 75% ", "99.9ms"] {
        assert!(open.contains(part), "{part} is missing in {open}");
    }
    let why = row(&view, "refuses with");
    let expected = "refuses with ECONNREFUSED, 97 shed, half_open in 4s: 3 failures in a row ~";
    assert_eq!(why.trim(), expected);
    assert!(row(&view, "10.0.0.9:9200").contains(" (open) "));
}

#[test]
fn a_large_screen_cuts_nothing() {
    let shown = text(&view(COLOURS, three()), 200, 50);
    for part in [
        "[2001:db8:1234:5678:9abc:def0:1234:5678]:5432",
        "half_open in 4s: 3 failures in a row (limit 3)",
    ] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    assert!(!shown.contains('…'), "{shown}");
}

#[test]
fn states_have_colours_unless_they_are_not_wanted() {
    let states = ["closed", "open", "half_open", "forced_closed"];
    let breakers = || {
        states
            .into_iter()
            .zip(1..)
            .map(|(state, n)| breaker("db", &format!("10.0.0.{n}:1"), state))
            .collect()
    };
    let mut seen = Vec::new();
    for look in [COLOURS, PLAIN] {
        let mut view = view(look, breakers());
        // The selected row is drawn in reverse.
        press(&mut view, "G");
        let buffer = draw(&view, 80, 24);
        let rows = lines(&buffer);
        let colour = |state: &str| {
            let y = rows.iter().position(|line| {
                line[..50].contains(&format!(" {state} ")) && line.contains("10.0.0")
            });
            let y = u16::try_from(y.expect("its row")).expect("small");
            buffer[(24, y)].fg
        };
        seen.push(states.map(colour));
    }
    assert_eq!(seen[0], [Color::Green, Color::Red, Color::Yellow, Color::Cyan]);
    assert_eq!(seen[1], [Color::Reset; 4]);
}

#[test]
fn without_unicode_everything_is_ascii() {
    let mut view = view(PLAIN, three());
    assert!(text(&view, 80, 24).is_ascii());
    press(&mut view, "\n");
    view.update(Input::Histogram(view.wanted_latencies().expect("asked"), Ok(histograms())));
    assert!(text(&view, 80, 24).is_ascii());
}

#[test]
fn curves_end_now_and_rise_to_the_right() {
    let mut view = view(COLOURS, vec![breaker("db", "10.0.0.1:1", "closed")]);
    for second in 1..=4 {
        let rate = f64::from(u32::try_from(second).expect("small"));
        let faster = Breaker { connects_per_second: rate, ..breaker("db", "10.0.0.1:1", "closed") };
        tell(&mut view, vec![faster], second);
    }
    let shown = row(&view, "10.0.0.1:1");
    assert!(shown.contains(" 4.0   █▂▃▃▄ "), "{shown}");
}

#[test]
fn failures_are_counted_between_two_looks() {
    let failed = |refused| Breaker {
        outcomes: Outcomes { refused, ..Outcomes::default() },
        ..breaker("db", "10.0.0.1:1", "closed")
    };
    let mut view = view(PLAIN, vec![failed(7)]);
    tell(&mut view, vec![failed(13)], 2);
    press(&mut view, "\n");
    let shown = text(&view, 80, 24);
    assert!(shown.contains("failures/s     3.0"), "{shown}");
}

#[test]
fn one_endpoint_shows_its_latencies_and_changes() {
    for (width, height) in [(80, 24), (200, 50)] {
        let mut view =
            view(COLOURS, vec![opened("db", "10.0.0.1:1"), breaker("db", "10.0.0.2:1", "closed")]);
        for (sequence, endpoint, to) in [
            (1, "10.0.0.1:1", "throttled"),
            (2, "10.0.0.2:1", "recovering"),
            (3, "10.0.0.1:1", "open"),
        ] {
            let event = transition(sequence, endpoint, "closed", to);
            view.update(Input::Event { event: Box::new(event), is_first: sequence == 1 });
        }
        let Some(Command::Histogram(of)) = press(&mut view, "\n") else { panic!("it asks") };
        assert_eq!((of.endpoint.as_str(), of.caller.as_deref()), ("10.0.0.1:1", Some("web")));
        view.update(Input::Histogram(of, Ok(histograms())));
        let shown = text(&view, width, height);
        for part in [
            "10.0.0.1:1: web calling db, policy web/db",
            "open for 1m, half_open in 4s; level 0",
            "now refuses with ECONNREFUSED; 97 of 197 connects shed",
            "why 3 failures in a row (limit 3) (consecutive)",
            "1 answered, 3 failed: 3 refused",
            "response: 333, p50 64us, p99 4.0ms",
            "connect: 40, p50 64us",
            "03:04:03 closed -> open: reason number 3",
            "03:04:01 closed -> throttled: reason number 1",
        ] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
        assert!(!shown.contains("reason number 2"), "{shown}");
        press(&mut view, "\x1b");
        assert!(text(&view, width, height).contains("db, called by web"));
    }
}

/// As many changes of state as there are do not push the latencies off the screen, and all are told
/// where there is room.
#[test]
fn latencies_and_changes_share_the_room() {
    let mut view = view(COLOURS, vec![breaker("db", "10.0.0.1:1", "closed")]);
    for sequence in 1..=40 {
        let event = transition(sequence, "10.0.0.1:1", "closed", "open");
        view.update(Input::Event { event: Box::new(event), is_first: sequence == 1 });
    }
    press(&mut view, "\n");
    view.update(Input::Histogram(view.wanted_latencies().expect("asked"), Ok(histograms())));
    let small = text(&view, 80, 24);
    assert!(small.contains("reason number 40") && small.contains("4.0ms - 16.3ms"), "{small}");
    let changes = |shown: &str| shown.matches("reason number").count();
    assert!((3..=8).contains(&changes(&small)), "{small}");
    assert!(changes(&text(&view, 200, 50)) >= 15);
}

/// A daemon that comes back tells its events from the start.
#[test]
fn a_new_daemon_has_its_own_past() {
    let mut view = view(PLAIN, vec![breaker("db", "10.0.0.1:1", "closed")]);
    for (sequence, is_first) in [(5, true), (1, true)] {
        let event = transition(sequence, "10.0.0.1:1", "closed", "open");
        view.update(Input::Event { event: Box::new(event), is_first });
    }
    press(&mut view, "\n");
    let shown = text(&view, 80, 24);
    assert!(shown.contains("reason number 1") && !shown.contains("reason number 5"), "{shown}");
}

#[test]
fn a_daemon_that_is_gone_leaves_what_was_known() {
    let mut view = view(PLAIN, three());
    view.update(Input::Lost("no shedder daemon answers at /run/shedder.sock".to_owned()));
    let shown = text(&view, 80, 24);
    assert!(
        shown.contains(
            "LOST since 03:04:05: no shedder daemon answers at /run/shedder.sock; trying"
        ),
        "{shown}"
    );
    assert!(shown.contains("10.0.0.11:5432"), "{shown}");
    tell(&mut view, three(), 9);
    assert!(!text(&view, 80, 24).contains("LOST"));
}

#[test]
fn a_screen_that_is_too_small_says_so() {
    assert!(text(&view(PLAIN, three()), 30, 5).starts_with("too small: 60 by 10"));
}

/// Whatever the size, nothing panics.
#[test]
fn any_size_can_be_drawn() {
    let mut list = view(COLOURS, three());
    let mut detail = view(COLOURS, three());
    press(&mut detail, "\n");
    detail.update(Input::Histogram(detail.wanted_latencies().expect("asked"), Ok(histograms())));
    press(&mut list, "t");
    for width in (1..130).step_by(7) {
        for height in 1..40 {
            draw(&list, width, height);
            draw(&detail, width, height);
        }
    }
}
