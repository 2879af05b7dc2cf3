//! One endpoint: why it is what it is, its latencies, its last changes of state.
//!
//! Invariant: what does not fit is left out at the end, after what matters more.

use ratatui::style::Style;

use super::history::{History, failed};
use super::list::{effect, endpoint, head};
use super::look::{BOLD, FAINT, Page, wrap};
use super::view::{Key, View, key_of, time_of_day};
use crate::api::model::{Breaker, Event, EventKind, Histogram, Histograms};
use crate::cli::chart;
use crate::cli::output::{latency, span_at};

pub(super) fn render(view: &View, breaker: &Breaker, page: &mut Page<'_>) {
    head(view, page);
    let Breaker { caller, service, policy, .. } = breaker;
    let title = format!("{}: {caller} calling {service}, policy {policy}", endpoint(breaker));
    page.plain(&view.look.fit(&title, page.width()), BOLD);
    standing(view, breaker, page);
    counts(view, breaker, page);
    let key = key_of(breaker);
    if let Some(history) = view.histories.get(&key) {
        curves(view, breaker, history, page);
    }
    let told: Vec<_> =
        view.transitions.iter().filter_map(|event| transition(event, &key)).collect();
    // Below the latencies and two headings at least three changes of state, and at most half.
    let changes = told.len().max(3).min(page.left() / 2);
    latencies(view, page.left().saturating_sub(changes + 2).min(FINEST), page);
    transitions(view, &told, page);
}

/// The state, why, and what comes next.
fn standing(view: &View, breaker: &Breaker, page: &mut Page<'_>) {
    let since = span_at(&breaker.since, view.now);
    let next = breaker.next.as_ref().map_or_else(String::new, |next| {
        format!(", {} in {}", next.state, span_at(&next.at, view.now))
    });
    let flags = [(breaker.flapping, ", flapping"), (breaker.suspended, ", suspended")];
    let flags: String =
        flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, text)| text).collect();
    let style = view.look.of_state(breaker.would_be.as_deref().unwrap_or(&breaker.state));
    let name = if breaker.would_be.is_some() && breaker.state == "observe" {
        format!("observe, would be {}", breaker.would_be.as_deref().unwrap_or_default())
    } else {
        breaker.state.clone()
    };
    page.line(&[
        (name, style.patch(BOLD)),
        (format!(" for {since}{next}; level {}{flags}", breaker.level), Style::new()),
    ]);
    let now = effect(breaker).unwrap_or_else(|| "lets everything through".to_owned());
    let connects = breaker.shed_total + breaker.allowed_total;
    page.plain(
        &view.look.fit(
            &format!("now {now}; {} of {connects} connects shed", breaker.shed_total),
            page.width(),
        ),
        Style::new(),
    );
    if let Some(reason) = &breaker.reason {
        let why = format!("why {} ({})", reason.text, reason.strategy);
        for line in wrap(&why, page.width()).iter().take(2) {
            page.plain(line, Style::new());
        }
    }
}

fn counts(view: &View, breaker: &Breaker, page: &mut Page<'_>) {
    let it = &breaker.outcomes;
    let failures = [
        ("refused", it.refused),
        ("timed out", it.timed_out),
        ("unreachable", it.unreachable),
        ("reset", it.reset),
        ("hung up", it.hung_up),
        ("errored", it.errored),
    ];
    let kinds = failures.into_iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
    let flight = &breaker.in_flight;
    let texts = [
        format!("{} answered, {} failed{kinds}", it.answered, failed(it)),
        format!(
            "{} connections, {} connecting, {} waiting, {} stalled",
            flight.connections, flight.connecting, flight.waiting, flight.stalled
        ),
    ];
    for text in texts {
        page.plain(&view.look.fit(&text, page.width()), Style::new());
    }
}

fn curves(view: &View, breaker: &Breaker, history: &History, page: &mut Page<'_>) {
    let width = page.width().saturating_sub(LABEL + VALUE + 2);
    let rate = |values: &std::collections::VecDeque<f64>| {
        format!("{:.1}", values.back().copied().unwrap_or(0.0))
    };
    let curves = [
        ("connects/s", rate(&history.connects), &history.connects),
        ("failures/s", rate(&history.failures), &history.failures),
        ("p99", latency(breaker.window.p99_us), &history.p99),
    ];
    for (label, value, values) in curves {
        let curve = view.look.curve(values.iter(), width);
        page.plain(&format!("{label:LABEL$} {value:>VALUE$} {curve}"), Style::new());
    }
}

/// Response and connect latencies side by side, and round trips where there is room.
fn latencies(view: &View, most: usize, page: &mut Page<'_>) {
    let answer = match &view.latencies {
        Some((_, Ok(histograms))) => histograms,
        Some((_, Err(error))) => {
            return page.plain(&view.look.fit(error, page.width()), view.look.alarm());
        }
        None => return page.plain("asking for the latencies", FAINT),
    };
    let Histograms { connect, response, round_trip, .. } = answer;
    let mut parts = vec![("response", response), ("connect", connect)];
    if page.width() >= 120 {
        parts.extend(round_trip.as_ref().map(|histogram| ("round trip", histogram)));
    }
    let width = page.width() / parts.len() - 1;
    let columns: Vec<Vec<String>> =
        parts.iter().map(|(name, histogram)| column(view, name, histogram, most, width)).collect();
    let lines = columns.iter().map(Vec::len).max().unwrap_or(0);
    for line in 0..lines {
        let style = if line == 0 { BOLD } else { Style::new() };
        let cells = columns.iter().map(|column| column.get(line).map_or("", String::as_str));
        let cells: Vec<_> = cells.map(|cell| (format!("{cell:<width$} "), style)).collect();
        page.line(&cells);
    }
}

fn column(
    view: &View,
    name: &str,
    histogram: &Histogram,
    most: usize,
    width: usize,
) -> Vec<String> {
    let Histogram { samples, p50_us, p99_us, .. } = histogram;
    let (p50, p99) = (latency(*p50_us), latency(*p99_us));
    let heading = format!("{name}: {samples}, p50 {p50}, p99 {p99}");
    let rows = chart::rows(histogram, most);
    let longest = rows.iter().map(|row| row.count).max().unwrap_or(0);
    let counts = rows.iter().map(|row| row.count.to_string().len()).max().unwrap_or(0);
    let bars = width.saturating_sub(RANGE + counts + 2);
    let rows = rows.into_iter().map(|row| {
        let (from, below) = (latency(Some(row.from_us)), latency(Some(row.below_us)));
        let bar = chart::bar(row.count, longest, bars, view.look.glyphs);
        format!("{:<RANGE$} {bar:<bars$} {:>counts$}", format!("{from:>6} - {below}"), row.count)
    });
    std::iter::once(view.look.fit(&heading, width)).chain(rows).collect()
}

/// When, from what, to what, and why.
type Told<'a> = (&'a str, &'a str, &'a str, &'a str);

fn transitions(view: &View, told: &[Told<'_>], page: &mut Page<'_>) {
    page.plain("last changes of state (UTC)", BOLD);
    if told.is_empty() {
        page.plain("none since the daemon started, as far as it remembers", FAINT);
    }
    for (at, from, to, why) in told {
        let at = time_of_day(at);
        let room = page.width().saturating_sub(at.len() + from.len() + to.len() + 5);
        page.line(&[
            (format!("{at} {from} -> "), Style::new()),
            ((*to).to_owned(), view.look.of_state(to)),
            (view.look.fit(&format!(": {why}"), room), Style::new()),
        ]);
    }
}

/// What a transition says, if it is about that breaker.
fn transition<'a>(event: &'a Event, of: &Key) -> Option<Told<'a>> {
    let EventKind::Transition { caller, service, endpoint, network, from, to, reason, .. } =
        &event.kind
    else {
        return None;
    };
    let is_it = (service, caller, endpoint, network) == (&of.0, &of.1, &of.2, &of.3);
    is_it.then_some((&event.at, from, to, &reason.text))
}

/// Rows of latencies there are at most, however much room there is.
const FINEST: usize = 20;
const LABEL: usize = 10;
const VALUE: usize = 7;
/// The widest range of latencies, as text.
const RANGE: usize = 15;
