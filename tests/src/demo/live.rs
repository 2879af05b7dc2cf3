//! The live picture: what callers see now, and what the daemon makes of the backends.
//!
//! Invariant: no line of the panel is wider than 80 columns.

use std::time::{Duration, SystemTime};

use shedder_user::api::model::Breaker;

use super::population::{GLANCE_SPAN, Glance};
use super::script::CALLERS;
use super::text::{Colour, Paint, latency, percent};

/// One moment.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: &'static str,
    /// Until the next act.
    pub(super) left: Duration,
    pub(super) guarded: Glance,
    pub(super) unguarded: Glance,
    pub(super) backends: Vec<BackendRow>,
}

/// A backend and its breaker.
#[derive(Debug)]
pub(super) struct BackendRow {
    letter: char,
    address: String,
    illness: Option<&'static str>,
    state: String,
    next: Option<String>,
    shed_total: u64,
}

impl BackendRow {
    /// A backend without a breaker is one the daemon has not seen called yet.
    pub(super) fn new(
        letter: char,
        address: &str,
        illness: Option<&'static str>,
        breaker: Option<&Breaker>,
    ) -> Self {
        Self {
            letter,
            address: address.to_owned(),
            illness,
            state: breaker.map_or_else(|| "-".to_owned(), |breaker| breaker.state.clone()),
            next: breaker.and_then(what_comes_next),
            shed_total: breaker.map_or(0, |breaker| breaker.shed_total),
        }
    }
}

impl Frame {
    /// For a terminal, to be drawn over the last one.
    pub(super) fn panel(&self, paint: Paint) -> Vec<String> {
        let left = format!("{} s left", self.left.as_secs_f64().ceil());
        let faint = |text: String| paint.apply(Colour::Faint, &text);
        let mut lines = vec![
            format!(
                "  {} {}",
                paint.apply(Colour::Bold, &format!("{:<62}", self.title)),
                faint(format!("{left:>14}"))
            ),
            faint(format!(
                "  {:<12} {:>9} {:>8} {:>9} {:>9} {:>11} {:>13}",
                "last 2 s", "answered", "a second", "p50", "p99", "waiting", "failed, slow"
            )),
            population("guarded", &self.guarded, paint),
            population("unguarded", &self.unguarded, paint),
            faint(format!("  {:<24} {:<11} {:<30} {:>7}", "backend", "it", "shedder says", "shed")),
        ];
        lines.extend(self.backends.iter().map(|row| row.line(paint)));
        lines
    }

    /// For a file: one line.
    pub(super) fn line(&self) -> String {
        let population = |glance: &Glance| {
            let recent = &glance.recent;
            let (share, p50, p99) = (recent.answered_share, recent.p50_us, recent.p99_us);
            format!("{} p50 {} p99 {}", percent(share), latency(p50), latency(p99))
        };
        let backends: Vec<String> = self
            .backends
            .iter()
            .map(|row| format!("{} {} {} shed", row.letter, row.state, row.shed_total))
            .collect();
        format!(
            "  guarded {}; unguarded {}; {}",
            population(&self.guarded),
            population(&self.unguarded),
            backends.join(", ")
        )
    }
}

impl BackendRow {
    fn line(&self, paint: Paint) -> String {
        let name = format!("{} {}", self.letter, self.address);
        let (illness, how) = match self.illness {
            Some(illness) => (illness, Colour::Red),
            None => ("is healthy", Colour::Green),
        };
        let says = match &self.next {
            Some(next) => format!("{}, {next}", self.state),
            None => self.state.clone(),
        };
        format!(
            "  {name:<24} {} {} {:>7}",
            paint.apply(how, &format!("{illness:<11}")),
            paint.apply(state_colour(&self.state), &format!("{says:<30}")),
            self.shed_total
        )
    }
}

fn population(name: &str, glance: &Glance, paint: Paint) -> String {
    let recent = &glance.recent;
    let answered = match recent.answered_share {
        Some(share) if share > 0.99 => Colour::Green,
        Some(_) => Colour::Red,
        None => Colour::Plain,
    };
    let is_slow = recent.p99_us.is_some_and(|p99| p99 > 500_000);
    let a_second = format!("{:.0}", recent.answered_per_second(GLANCE_SPAN));
    let waiting = format!("{} of {CALLERS}", glance.stuck);
    let red_if = |is_bad: bool| if is_bad { Colour::Red } else { Colour::Plain };
    format!(
        "  {name:<12} {} {a_second:>8} {:>9} {} {} {:>13}",
        paint.apply(answered, &format!("{:>9}", percent(recent.answered_share))),
        latency(recent.p50_us),
        paint.apply(red_if(is_slow), &format!("{:>9}", latency(recent.p99_us))),
        paint.apply(red_if(glance.stuck > 0), &format!("{waiting:>11}")),
        glance.bad_attempts,
    )
}

fn state_colour(state: &str) -> Colour {
    match state {
        "closed" => Colour::Green,
        "open" => Colour::Red,
        "half_open" | "recovering" => Colour::Yellow,
        _ => Colour::Faint,
    }
}

/// The breaker's next state and the time until then.
fn what_comes_next(breaker: &Breaker) -> Option<String> {
    let next = breaker.next.as_ref()?;
    let at = humantime::parse_rfc3339(&next.at).ok()?;
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    Some(format!("{} in {:.1} s", next.state, left.as_secs_f64()))
}
