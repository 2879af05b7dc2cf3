//! What each key does.
//!
//! Invariant: nothing is ordered by a key alone; each order is asked about first.
#![expect(clippy::wildcard_enum_match_arm, reason = "keys without a meaning do nothing")]

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::order;
use super::question::Question;
use super::view::{Command, Key, Mode, Sort, View, key_of};
use crate::api::model::Order;

/// Takes in a key; what is to be done about it.
pub(super) fn press(view: &mut View, key: KeyEvent) -> Option<Command> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c')).then_some(Command::Quit);
    }
    match std::mem::replace(&mut view.mode, Mode::Browsing) {
        Mode::Browsing => browse(view, key.code),
        Mode::Filtering => {
            filter(view, key.code);
            None
        }
        Mode::Asked(question) => answer(view, question, key.code),
    }
}

fn browse(view: &mut View, key: KeyCode) -> Option<Command> {
    view.said = None;
    match key {
        KeyCode::Char('q') => return Some(Command::Quit),
        KeyCode::Esc | KeyCode::Left | KeyCode::Backspace if view.opened.is_some() => {
            view.opened = None;
        }
        KeyCode::Esc => {
            view.filter.clear();
            select(view, 0);
        }
        KeyCode::Enter | KeyCode::Right => view.opened.clone_from(&view.selected),
        KeyCode::Down | KeyCode::Char('j') => select(view, 1),
        KeyCode::Up | KeyCode::Char('k') => select(view, -1),
        KeyCode::PageDown => select(view, PAGE),
        KeyCode::PageUp => select(view, -PAGE),
        KeyCode::Home | KeyCode::Char('g') => select(view, isize::MIN),
        KeyCode::End | KeyCode::Char('G') => select(view, isize::MAX),
        KeyCode::Char('/') => {
            view.opened = None;
            view.mode = Mode::Filtering;
        }
        KeyCode::Char('s') => view.sort = next(view.sort),
        KeyCode::Char('t') => ask(view, Order::Trip),
        KeyCode::Char('h') => ask(view, Order::Hold),
        KeyCode::Char('r') => ask(view, Order::Reset),
        _ => {}
    }
    // What is shown alone may have changed.
    let wanted = view.wanted_latencies();
    if view.latencies.as_ref().map(|(of, _)| of) == wanted.as_ref() {
        return None;
    }
    view.latencies = None;
    wanted.map(Command::Histogram)
}

fn filter(view: &mut View, key: KeyCode) {
    match key {
        KeyCode::Enter => return,
        KeyCode::Esc => view.filter.clear(),
        KeyCode::Backspace => {
            view.filter.pop();
        }
        KeyCode::Char(letter) => view.filter.push(letter),
        _ => {}
    }
    if key != KeyCode::Esc {
        view.mode = Mode::Filtering;
    }
    select(view, 0);
}

fn answer(view: &mut View, mut question: Question, key: KeyCode) -> Option<Command> {
    match key {
        KeyCode::Char('y') => return Some(Command::Order(question.into_order())),
        KeyCode::Char('+' | '=') if question.has_span() => question.longer(),
        KeyCode::Char('-') if question.has_span() => question.shorter(),
        _ => return None,
    }
    view.mode = Mode::Asked(question);
    None
}

fn ask(view: &mut View, order: Order) {
    let shown = view.opened.as_ref().or(view.selected.as_ref());
    let about = shown.and_then(|key| view.breaker(key));
    if let Some(breaker) = about {
        view.mode = Mode::Asked(Question::new(order, breaker));
    }
}

/// Selects the endpoint so many further down; what is shown alone follows.
fn select(view: &mut View, by: isize) {
    let keys: Vec<Key> = order::shown(view).into_iter().map(key_of).collect();
    let at =
        view.selected.as_ref().and_then(|selected| keys.iter().position(|key| key == selected));
    let at = at.unwrap_or(0).saturating_add_signed(by).min(keys.len().saturating_sub(1));
    view.selected = keys.get(at).cloned();
    if view.opened.is_some() {
        view.opened.clone_from(&view.selected);
    }
}

const fn next(sort: Sort) -> Sort {
    match sort {
        Sort::Name => Sort::State,
        Sort::State => Sort::Connects,
        Sort::Connects => Sort::Failures,
        Sort::Failures => Sort::Slowness,
        Sort::Slowness => Sort::Name,
    }
}

const PAGE: isize = 10;
