//! Moving about, and what is asked before anything is done.

use super::*;
use crate::api::model::{Order, Override};

fn many(count: u8) -> Vec<Breaker> {
    (1..=count).map(|n| breaker("db", &format!("10.0.0.{n}:5432"), "closed")).collect()
}

fn selected(view: &View) -> String {
    let lines = lines(&draw(view, 80, 24));
    let marked: Vec<&String> = lines.iter().filter(|line| line.starts_with("> ")).collect();
    assert_eq!(marked.len(), 1, "{lines:#?}");
    marked[0].split_whitespace().nth(1).expect("an endpoint").to_owned()
}

#[test]
fn the_selected_row_is_always_on_the_screen() {
    let mut view = view(PLAIN, many(99));
    let first = selected(&view);
    for _ in 0..98 {
        press(&mut view, "j");
        selected(&view);
    }
    assert_ne!(selected(&view), first);
    press(&mut view, "g");
    assert_eq!(selected(&view), first);
    press(&mut view, "Gk");
    let last_but_one = selected(&view);
    press(&mut view, "j");
    assert_ne!(selected(&view), last_but_one);
}

#[test]
fn a_selection_stays_with_its_endpoint() {
    let mut view = view(PLAIN, many(3));
    press(&mut view, "j");
    assert_eq!(selected(&view), "10.0.0.2:5432");
    tell(&mut view, many(3).into_iter().rev().collect(), 1);
    assert_eq!(selected(&view), "10.0.0.2:5432");
    // Unless that is gone.
    tell(&mut view, many(1), 2);
    assert_eq!(selected(&view), "10.0.0.1:5432");
}

#[test]
fn a_filter_leaves_what_matches() {
    let mut view = view(PLAIN, many(12));
    press(&mut view, "/0.0.12\n");
    let shown = text(&view, 80, 24);
    assert!(shown.contains("10.0.0.12:5432") && !shown.contains("10.0.0.2:5432"), "{shown}");
    assert_eq!(selected(&view), "10.0.0.12:5432");
    press(&mut view, "\x1b");
    assert!(text(&view, 80, 24).contains("10.0.0.2:5432"));
    // Letters that are keys otherwise are letters here.
    assert!(press(&mut view, "/qtr").is_none());
    assert!(text(&view, 80, 24).contains("Nothing matches the filter"));
}

#[test]
fn what_is_worst_comes_first_when_asked() {
    let mut breakers = many(3);
    breakers.push(opened("zoo", "10.9.9.9:1"));
    let mut view = view(PLAIN, breakers);
    let position = |view: &View| {
        let lines = lines(&draw(view, 80, 24));
        lines.iter().position(|line| line.contains("10.9.9.9:1")).expect("it is there")
    };
    assert_eq!(position(&view), 7);
    press(&mut view, "s");
    assert_eq!(position(&view), 3);
}

#[test]
fn nothing_is_ordered_without_a_yes() {
    for key in ["t", "h", "r"] {
        for other in ["n", "\x1b", "\n", "q", "t"] {
            let mut view = view(PLAIN, many(2));
            assert!(press(&mut view, key).is_none());
            assert!(press(&mut view, other).is_none(), "{other:?} after {key}");
            assert!(press(&mut view, "y").is_none(), "it is no longer asked");
        }
    }
}

#[test]
fn a_yes_orders_what_was_asked() {
    let minutes = |minutes: u64| Some(minutes * 60_000);
    for (keys, words, order, for_ms) in [
        (
            "t",
            "trip: shed every connect of web to db at 10.0.0.1:5432 for 5m,",
            Order::Trip,
            minutes(5),
        ),
        (
            "t+",
            "trip: shed every connect of web to db at 10.0.0.1:5432 for 15m,",
            Order::Trip,
            minutes(15),
        ),
        ("t+++++++", "for 1day,", Order::Trip, minutes(24 * 60)),
        (
            "h----",
            "hold: let every connect of web to db at 10.0.0.1:5432 through for 1m,",
            Order::Hold,
            minutes(1),
        ),
        (
            "r",
            "reset: close the breaker for connects of web to db at 10.0.0.1:5432 at once,",
            Order::Reset,
            None,
        ),
    ] {
        let mut view = view(PLAIN, many(2));
        press(&mut view, keys);
        let shown = text(&view, 200, 24);
        assert!(shown.contains(words), "{words} is missing in {shown}");
        assert!(text(&view, 80, 24).contains("y do it"));
        let Some(Command::Order(given)) = press(&mut view, "y") else { panic!("no order") };
        let expected = Override {
            order,
            endpoint: "10.0.0.1:5432".to_owned(),
            caller: Some("web".to_owned()),
            network: None,
            for_ms,
        };
        assert_eq!(given, expected);
    }
}

/// What keys there are can be read to the end on a small screen.
#[test]
fn keys_are_named_in_full() {
    for keys in ["", "\n", "/", "t", "r"] {
        let mut view = view(PLAIN, many(2));
        press(&mut view, keys);
        let foot = lines(&draw(&view, 80, 24)).pop().expect("a line");
        assert!(!foot.contains('~') && foot.ends_with(' '), "{foot}");
    }
}

/// An order on a policy that observes sheds all the same, which one has to know.
#[test]
fn tripping_what_only_observes_is_said_to_shed() {
    let observed =
        Breaker { would_be: Some("closed".to_owned()), ..breaker("db", "10.0.0.1:1", "observe") };
    let mut view = view(PLAIN, vec![observed]);
    press(&mut view, "t");
    assert!(text(&view, 200, 24).contains("although that only observes?"));
}

/// The endpoint that is shown alone is the one an order is about, whatever the list would select.
#[test]
fn an_order_is_about_what_is_shown() {
    let mut view = view(PLAIN, many(3));
    press(&mut view, "/closed\nj\n");
    let mut changed = many(3);
    changed[1] = opened("db", "10.0.0.2:5432");
    tell(&mut view, changed, 1);
    press(&mut view, "t");
    assert!(text(&view, 200, 24).contains("at 10.0.0.2:5432 for 5m"), "{}", text(&view, 200, 24));
}

#[test]
fn what_came_of_an_order_is_said_until_the_next_key() {
    let mut view = view(PLAIN, many(2));
    view.update(Input::Ordered(Err("only root may override a breaker; use sudo".to_owned())));
    assert!(text(&view, 80, 24).contains("only root may override a breaker; use sudo"));
    press(&mut view, "j");
    assert!(!text(&view, 80, 24).contains("only root"));
}

#[test]
fn control_c_quits_whatever_is_asked() {
    let mut view = view(PLAIN, many(2));
    press(&mut view, "t");
    let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert!(matches!(view.update(Input::Key(key)), Some(Command::Quit)));
    assert!(matches!(press(&mut view, "\x1b\x1bq"), Some(Command::Quit)));
}
