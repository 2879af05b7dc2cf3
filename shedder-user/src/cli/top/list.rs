//! Every endpoint: a row each, below its service and caller, and what is shed and why.
//!
//! Invariant: the selected row is on the screen, whatever its size.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ratatui::style::Style;

use super::look::{BOLD, FAINT, Page, REVERSED};
use super::order::{group, severity, shown};
use super::view::{Key, Sort, View, key_of, time_of_day};
use crate::api::model::{Breaker, Verdict};
use crate::cli::output::{latency, span_at};

pub(super) fn render(view: &View, page: &mut Page<'_>) {
    head(view, page);
    let columns = Columns::of(page.width());
    page.plain(&columns.heading(), BOLD);
    let shown = shown(view);
    if shown.is_empty() {
        let text = if view.filter.is_empty() {
            "No breakers: no endpoint of the policy is known yet."
        } else {
            "Nothing matches the filter."
        };
        page.plain(text, FAINT);
        return;
    }
    let lines = lines(view, &shown, &columns, page.width());
    let of_selected = |line: &Line| line.key.is_some() && line.key == view.selected;
    let selected = lines.iter().position(of_selected).unwrap_or(0);
    let hidden = lines.len().saturating_sub(page.left());
    let first = selected.saturating_sub(page.left() / 2).min(hidden);
    for line in lines.iter().skip(first).take(page.left()) {
        page.line(&line.parts);
    }
}

/// The first line of every screen.
pub(super) fn head(view: &View, page: &mut Page<'_>) {
    let now = humantime::format_rfc3339_seconds(view.now).to_string();
    let breakers = view.status.as_ref().map_or(&[][..], |status| &status.breakers);
    let mut text = format!("shedder  {} UTC  {}", time_of_day(&now), states(breakers.iter()));
    if !view.filter.is_empty() {
        text = format!("{text}  only {:?}", view.filter);
    }
    if let Some(status) = &view.status {
        let node = &status.node;
        if node.cgroups.is_empty() {
            text.push_str("  NO CGROUP IS GUARDED");
        }
        if node.events_lost + node.untagged + node.actions_failed > 0
            || !node.degradations.is_empty()
        {
            text.push_str("  see notes of `shedder status`");
        }
    }
    let by = match view.sort {
        Sort::Name => "name",
        Sort::State => "state",
        Sort::Connects => "connects",
        Sort::Failures => "failures",
        Sort::Slowness => "p99",
    };
    text = format!("{text}  by {by}, every {}", humantime::format_duration(view.every));
    let text = view.look.fit(&text, page.width());
    page.band(&text, REVERSED);
}

/// What becomes of connects, where not all go through.
pub(super) fn effect(breaker: &Breaker) -> Option<String> {
    let Verdict { action, errno, delay_ms, redirect_to, admit_permille, observe, .. } =
        &breaker.verdict;
    let does = match action.as_str() {
        "deny" => format!("refuses with {}", errno.as_deref().unwrap_or("an error")),
        "delay" => format!("holds for {}ms", delay_ms.unwrap_or(0)),
        "redirect" => format!("sends to {}", redirect_to.as_deref().unwrap_or("another")),
        _ => return None,
    };
    let only = if *observe { "would shed: " } else { "" };
    let share = match admit_permille {
        0 => String::new(),
        permille => format!(", lets {}% through", permille / 10),
    };
    Some(format!("{only}{does}{share}"))
}

/// The state, and in brackets what it would be.
pub(super) fn state(breaker: &Breaker) -> String {
    match breaker.would_be.as_deref() {
        Some(would_be) if would_be != "closed" && breaker.state == "observe" => {
            format!("({would_be})")
        }
        _ => breaker.state.clone(),
    }
}

/// Address and port, and the network namespace where there are several.
pub(super) fn endpoint(breaker: &Breaker) -> String {
    let Breaker { endpoint, network, .. } = breaker;
    network.as_ref().map_or_else(|| endpoint.clone(), |network| format!("{endpoint} {network}"))
}

#[derive(Debug)]
struct Line {
    parts: Vec<(String, Style)>,
    /// Of the breaker whose row it is.
    key: Option<Key>,
}

/// How wide the columns are that are not always the same.
#[derive(Debug)]
struct Columns {
    endpoint: usize,
    curve: usize,
}

impl Columns {
    fn of(width: usize) -> Self {
        let endpoint = if width < 120 { 21 } else { 47 };
        let fixed = MARK + endpoint + 1 + STATE + 1 + RATE + FAIL + P99 + 5;
        Self { endpoint, curve: (width.saturating_sub(fixed) / 3).min(40) }
    }

    fn heading(&self) -> String {
        let Self { endpoint, curve } = self;
        format!(
            "{:MARK$}{:<endpoint$} {:<STATE$} {:>RATE$} {:curve$} {:>FAIL$} {:curve$} {:>P99$}",
            "", "ENDPOINT", "STATE", "CONN/S", "", "FAIL", "", "P99"
        )
    }
}

fn lines(view: &View, shown: &[&Breaker], columns: &Columns, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for members in shown.chunk_by(|a, b| group(a) == group(b)) {
        lines.push(Line { parts: vec![(title(members, width, view), BOLD)], key: None });
        for breaker in members {
            lines.push(row(view, breaker, columns));
            if let Some(text) = why(view, breaker) {
                let text = view.look.fit(&format!("{:6}{text}", ""), width);
                lines.push(Line { parts: vec![(text, Style::new())], key: None });
            }
        }
    }
    lines
}

fn title(members: &[&Breaker], width: usize, view: &View) -> String {
    let (service, caller) = members.first().map_or(("", ""), |breaker| group(breaker));
    let rate: f64 = members.iter().map(|breaker| breaker.connects_per_second).sum();
    let states = states(members.iter().copied());
    view.look.fit(&format!("{service}, called by {caller}: {states}, {rate:.1} connects/s"), width)
}

fn row(view: &View, breaker: &Breaker, columns: &Columns) -> Line {
    let Columns { endpoint: address, curve } = columns;
    let key = key_of(breaker);
    let is_selected = view.selected.as_ref() == Some(&key);
    let look = view.look;
    let plain = if is_selected { REVERSED } else { Style::new() };
    let state_style = look.of_state(breaker.would_be.as_deref().unwrap_or(&breaker.state));
    let state_style = if is_selected { state_style.patch(REVERSED) } else { state_style };
    let history = view.histories.get(&key);
    let curves = history.map(|history| {
        [&history.connects, &history.failures, &history.p99]
            .map(|values| look.curve(values.iter(), *curve))
    });
    let [connects, failures, p99] = curves.unwrap_or_default();
    let mark = if is_selected { "> " } else { "  " };
    let window = &breaker.window;
    let share = if window.attempts == 0 {
        "-".to_owned()
    } else {
        format!("{:.0}%", window.failure_share * 100.0)
    };
    let name = look.fit_end(&endpoint(breaker), *address);
    let (rate, slow) = (breaker.connects_per_second, latency(window.p99_us));
    let parts = vec![
        (format!("{mark:MARK$}{name:<address$} "), plain),
        (format!("{:<STATE$} ", look.fit(&state(breaker), STATE)), state_style),
        (
            format!(
                "{rate:>RATE$.1} {connects:curve$} {share:>FAIL$} {failures:curve$} {slow:>P99$} {p99:curve$}"
            ),
            plain,
        ),
    ];
    Line { parts, key: Some(key) }
}

/// What is shed and why; nothing of a breaker that lets everything through.
fn why(view: &View, breaker: &Breaker) -> Option<String> {
    let effect = effect(breaker);
    if effect.is_none() && breaker.reason.is_none() {
        return None;
    }
    let effect = effect.unwrap_or_else(|| "lets everything through".to_owned());
    let shed = match (breaker.shed_total, breaker.would_shed_total) {
        (0, 0) => String::new(),
        (0, would) => format!(", {would} would be shed"),
        (shed, would) if shed < would => format!(", {shed} shed of {would}"),
        (shed, _) => format!(", {shed} shed"),
    };
    let reason = breaker.reason.as_ref().map_or("", |reason| reason.text.as_str());
    let next = breaker.next.as_ref().map_or_else(String::new, |next| {
        format!(", {} in {}", next.state, span_at(&next.at, view.now))
    });
    Some(format!("{effect}{shed}{next}: {reason}"))
}

/// How many are in which state.
fn states<'a>(breakers: impl Iterator<Item = &'a Breaker>) -> String {
    let mut counts: BTreeMap<(Reverse<u64>, String), usize> = BTreeMap::new();
    for breaker in breakers {
        *counts.entry((Reverse(severity(breaker)), state(breaker))).or_default() += 1;
    }
    if counts.is_empty() {
        return "no endpoints".to_owned();
    }
    let counts: Vec<String> =
        counts.into_iter().map(|((_, state), count)| format!("{count} {state}")).collect();
    counts.join(", ")
}

const MARK: usize = 2;
const STATE: usize = 13;
const RATE: usize = 6;
const FAIL: usize = 4;
const P99: usize = 6;
