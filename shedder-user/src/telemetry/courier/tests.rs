//! AT-24, in simulated time: what sends a batch, what is dropped, and when a batch goes again.

use super::*;

fn at(milliseconds: u64) -> Monotonic {
    Monotonic::from_nanos(milliseconds * 1_000_000)
}

fn span(name: usize) -> Span {
    Span { name: name.to_string(), ..Span::default() }
}

/// One that takes about so many bytes.
fn heavy(name: usize, bytes: usize) -> Span {
    Span { trace_state: "x".repeat(bytes), ..span(name) }
}

fn names(spans: Option<&[Span]>) -> Vec<usize> {
    let spans = spans.unwrap_or_default();
    spans.iter().map(|span| span.name.parse().expect("a number")).collect()
}

const TAKEN: Verdict = Verdict::Taken { refused: 0 };

#[test]
fn at_24_a_batch_goes_after_half_a_second() {
    let mut courier = Courier::new(1);
    assert_eq!(courier.due(), None);
    courier.push(span(1), at(1000));
    courier.push(span(2), at(1499));
    assert_eq!(courier.due(), Some(at(1500)));
    assert!(courier.next(at(1499)).is_none());
    assert_eq!(names(courier.next(at(1500))), [1, 2]);
}

#[test]
fn at_24_a_hundred_go_at_once() {
    let mut courier = Courier::new(1);
    (0..99).for_each(|name| courier.push(span(name), at(0)));
    assert!(courier.next(at(1)).is_none());
    (99..150).for_each(|name| courier.push(span(name), at(1)));
    assert_eq!(names(courier.next(at(1))).len(), 100);
    courier.judge(TAKEN, at(2));
    // The others begin to wait anew.
    assert!(courier.next(at(500)).is_none());
    assert_eq!(names(courier.next(at(501))), (100..150).collect::<Vec<_>>());
}

#[test]
fn at_24_a_queue_that_is_four_fifths_full_goes_at_once() {
    let mut courier = Courier::new(1);
    courier.push(heavy(1, FLUSH_BYTES - 100), at(0));
    assert!(courier.next(at(0)).is_none());
    courier.push(heavy(2, 200), at(0));
    assert_eq!(names(courier.next(at(0))), [1, 2]);
}

#[test]
fn at_24_the_oldest_is_dropped_when_there_are_too_many() {
    let mut courier = Courier::new(1);
    let tenth = CAPACITY_BYTES / 10;
    (0..30).for_each(|name| courier.push(heavy(name, tenth), at(0)));
    assert_eq!((courier.kept(), courier.fate().full), (9, 21));
    assert_eq!(names(courier.next(at(0))), (21..30).collect::<Vec<_>>());
}

/// What is on its way counts too, once it comes back.
#[test]
fn at_24_a_collector_that_is_away_costs_no_more() {
    let mut courier = Courier::new(1);
    let mut now = at(0);
    let tenth = CAPACITY_BYTES / 10;
    for name in 0..1000 {
        courier.push(heavy(name, tenth), now);
        now = now.plus(Duration::from_secs(1));
        if courier.next(now).is_some() {
            courier.judge(Verdict::Later(None), now);
        }
        assert!(courier.kept() <= 18, "{}", courier.kept());
        assert_eq!(courier.kept() as u64 + courier.fate().full, name as u64 + 1);
    }
    assert!(courier.bytes <= CAPACITY_BYTES);
}

#[test]
fn at_24_a_batch_is_tried_three_times_again() {
    for seed in 0..100 {
        let mut courier = Courier::new(seed);
        courier.push(span(1), at(0));
        let mut now = at(500);
        for wait_ms in [100, 400, 1600] {
            assert_eq!(names(courier.next(now)), [1]);
            assert_eq!(courier.judge(Verdict::Later(None), now), None);
            let wait = courier.due().expect("it is to go again").since(now);
            let full = Duration::from_millis(wait_ms);
            assert!((full..=full.mul_f64(1.2)).contains(&wait), "{wait:?}");
            now = now.plus(wait);
        }
        assert_eq!(names(courier.next(now)), [1]);
        // The third was in vain too: it is kept, and a new round begins much later.
        assert_eq!(courier.judge(Verdict::Later(None), now), Some(1));
        let pause = courier.due().expect("it is kept").since(now);
        assert!((PAUSE..=PAUSE.mul_f64(1.2)).contains(&pause), "{pause:?}");
        assert_eq!(names(courier.next(now.plus(pause))), [1]);
        courier.judge(TAKEN, now);
        assert_eq!((courier.kept(), courier.fate().taken), (0, 1));
    }
}

#[test]
fn a_collector_that_asks_for_time_gets_it() {
    let mut courier = Courier::new(1);
    courier.push(span(1), at(0));
    courier.next(at(500));
    courier.judge(Verdict::Later(Some(Duration::from_secs(7))), at(500));
    assert_eq!(courier.due(), Some(at(7500)));
    courier.next(at(7500));
    courier.judge(Verdict::Later(Some(Duration::from_hours(9))), at(7500));
    assert_eq!(courier.due(), Some(at(7500).plus(LONGEST_ASKED)));
}

#[test]
fn what_is_refused_is_dropped_and_counted() {
    let mut courier = Courier::new(1);
    (0..3).for_each(|name| courier.push(span(name), at(0)));
    courier.next(at(500));
    courier.judge(Verdict::Taken { refused: 2 }, at(500));
    courier.push(span(4), at(500));
    courier.next(at(1000));
    courier.judge(Verdict::Refused, at(1000));
    let expected = Fate { taken: 1, refused: 3, ..Fate::default() };
    assert_eq!((courier.kept(), courier.fate()), (0, expected));
}

#[test]
fn at_the_end_nothing_waits() {
    let mut courier = Courier::new(1);
    courier.push(span(1), at(0));
    courier.next(at(500));
    courier.judge(Verdict::Later(Some(Duration::from_mins(1))), at(500));
    courier.push(span(2), at(600));
    courier.close(at(600));
    assert_eq!(names(courier.next(at(600))), [1]);
    courier.judge(TAKEN, at(700));
    assert_eq!(names(courier.next(at(700))), [2]);
    for tried_ms in [700, 1000, 2000, 9000] {
        courier.judge(Verdict::Later(None), at(tried_ms));
        courier.next(at(20_000));
    }
    assert_eq!((courier.kept(), courier.fate().late), (0, 1));
}
