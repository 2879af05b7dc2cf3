//! What is on the screen: the state that inputs change.
//!
//! Invariant: pure; time comes in with the daemon's answers.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, SystemTime};

use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyEvent;

use super::history::History;
use super::look::{BOLD, FAINT, Look, Page, REVERSED, wrap};
use super::question::Question;
use super::{detail, list, order};
use crate::api::Selection;
use crate::api::model::{Breaker, Event, EventKind, Histograms, Override, Status};
use crate::clock;

/// What comes in.
#[derive(Debug)]
pub(super) enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// The terminal can no longer be read.
    Deaf(io::Error),
    /// How everything is, and when.
    Status(Status, SystemTime),
    /// The daemon does not answer, and why.
    Lost(String),
    /// Something happened; the first one comes again after the daemon was away.
    Event { event: Box<Event>, is_first: bool },
    /// The latencies that were asked for.
    Histogram(Selection, Result<Histograms, String>),
    /// What came of an order.
    Ordered(Result<String, String>),
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Command {
    Quit,
    Fail(anyhow::Error),
    Order(Override),
    Histogram(Selection),
}

/// Which breaker; ordered as the list is.
pub(super) type Key = (String, String, String, Option<String>);

/// What keys mean now.
#[derive(Debug)]
pub(super) enum Mode {
    /// Moving about.
    Browsing,
    /// Typing a filter.
    Filtering,
    /// Answering whether to do something.
    Asked(Question),
}

/// What the list is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    State,
    Connects,
    Failures,
    Slowness,
}

/// Everything the screen is made of.
#[derive(Debug)]
pub(super) struct View {
    pub(super) look: Look,
    pub(super) every: Duration,
    pub(super) now: SystemTime,
    pub(super) status: Option<Status>,
    /// Why the daemon does not answer, and since when.
    pub(super) lost: Option<(String, SystemTime)>,
    pub(super) histories: BTreeMap<Key, History>,
    /// Changes of state, newest first.
    pub(super) transitions: VecDeque<Event>,
    pub(super) selected: Option<Key>,
    /// The endpoint shown alone, if one is.
    pub(super) opened: Option<Key>,
    pub(super) latencies: Option<(Selection, Result<Histograms, String>)>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) mode: Mode,
    /// What came of the last order.
    pub(super) said: Option<Result<String, String>>,
}

impl Input {
    /// A status as of now.
    pub(super) fn status(status: Status) -> Self {
        Self::Status(status, clock::wall(clock::now()))
    }
}

impl View {
    pub(super) const fn new(look: Look, every: Duration) -> Self {
        Self {
            look,
            every,
            now: SystemTime::UNIX_EPOCH,
            status: None,
            lost: None,
            histories: BTreeMap::new(),
            transitions: VecDeque::new(),
            selected: None,
            opened: None,
            latencies: None,
            sort: Sort::Name,
            filter: String::new(),
            mode: Mode::Browsing,
            said: None,
        }
    }

    /// Takes in what has come; what is to be done about it.
    pub(super) fn update(&mut self, input: Input) -> Option<Command> {
        match input {
            Input::Key(key) => return super::keys::press(self, key),
            Input::Resized => {}
            Input::Deaf(error) => {
                let error = anyhow::Error::from(error).context("the terminal cannot be read");
                return Some(Command::Fail(error));
            }
            Input::Status(status, now) => {
                self.take(status, now);
                return self.wanted_latencies().map(Command::Histogram);
            }
            Input::Lost(why) => {
                let since = self.lost.take().map_or(self.now, |(_, since)| since);
                self.lost = Some((why, since));
            }
            Input::Event { event, is_first } => self.tell(*event, is_first),
            Input::Histogram(of, answer) => self.latencies = Some((of, answer)),
            Input::Ordered(answer) => self.said = Some(answer),
        }
        None
    }

    /// Draws it.
    pub(super) fn render(&self, buffer: &mut Buffer) {
        let (width, height) = (buffer.area.width, buffer.area.height);
        if width < MIN_WIDTH || height < MIN_HEIGHT {
            let text = format!("too small: {MIN_WIDTH} by {MIN_HEIGHT} is the least");
            Page::new(buffer, 0, height).plain(&text, self.look.alarm());
            return;
        }
        let message = self.message(usize::from(width));
        let foot = height - 1 - u16::try_from(message.len()).unwrap_or(0).min(height / 2);
        match self.opened.as_ref().and_then(|key| self.breaker(key)) {
            Some(breaker) => detail::render(self, breaker, &mut Page::new(buffer, 0, foot)),
            None => list::render(self, &mut Page::new(buffer, 0, foot)),
        }
        let mut page = Page::new(buffer, foot, height);
        let style = match (&self.mode, &self.lost, &self.said) {
            (Mode::Asked(_), ..) => REVERSED,
            (_, Some(_), _) | (_, None, Some(Err(_))) => self.look.alarm(),
            (_, None, _) => BOLD,
        };
        for line in message {
            page.band(&line, style);
        }
        let keys = self.look.fit(self.keys(), page.width());
        page.band(&keys, FAINT);
    }

    /// What there is to say below everything else.
    fn message(&self, width: usize) -> Vec<String> {
        match (&self.mode, &self.lost, &self.said) {
            (Mode::Asked(question), ..) => wrap(&question.text(), width),
            (Mode::Filtering, ..) => {
                vec![self.look.fit_end(&format!("filter: {}_", self.filter), width)]
            }
            (Mode::Browsing, Some((why, since)), _) => {
                let since = humantime::format_rfc3339_seconds(*since).to_string();
                wrap(&format!("LOST since {}: {why}; trying again", time_of_day(&since)), width)
            }
            (Mode::Browsing, None, Some(Ok(said) | Err(said))) => wrap(said, width),
            (Mode::Browsing, None, None) => Vec::new(),
        }
    }

    const fn keys(&self) -> &'static str {
        match (&self.mode, &self.opened) {
            (Mode::Asked(question), _) if question.has_span() => {
                "y do it  + longer  - shorter  any other key: leave it"
            }
            (Mode::Asked(_), _) => "y do it  any other key: leave it",
            (Mode::Filtering, _) => {
                "type a part of a name, address or state  enter keep  esc clear"
            }
            (Mode::Browsing, None) => {
                "arrows move  enter look  / filter  s sort  t trip  h hold  r reset  q quit"
            }
            (Mode::Browsing, Some(_)) => {
                "esc back  arrows next endpoint  t trip  h hold  r reset  q quit"
            }
        }
    }

    pub(super) fn breaker(&self, key: &Key) -> Option<&Breaker> {
        self.status.as_ref()?.breakers.iter().find(|breaker| key_of(breaker) == *key)
    }

    /// What to ask for the endpoint shown alone.
    pub(super) fn wanted_latencies(&self) -> Option<Selection> {
        let (_, caller, endpoint, network) = self.opened.clone()?;
        Some(Selection { endpoint, caller: Some(caller), network })
    }

    fn take(&mut self, status: Status, now: SystemTime) {
        // Across a break nobody knows how fast things went.
        let after = if self.lost.take().is_none() && self.status.is_some() {
            now.duration_since(self.now).unwrap_or_default()
        } else {
            Duration::ZERO
        };
        self.now = now;
        let known: BTreeMap<Key, &Breaker> =
            status.breakers.iter().map(|breaker| (key_of(breaker), breaker)).collect();
        self.histories.retain(|key, _| known.contains_key(key));
        for (key, breaker) in known {
            self.histories.entry(key).or_default().push(breaker, after);
        }
        self.status = Some(status);
        let shown = order::shown(self);
        let is_there = |key: &Key| shown.iter().any(|breaker| key_of(breaker) == *key);
        if !self.selected.as_ref().is_some_and(is_there) {
            self.selected = shown.first().map(|breaker| key_of(breaker));
        }
        self.opened = self.opened.take().filter(|key| self.breaker(key).is_some());
    }

    fn tell(&mut self, event: Event, is_first: bool) {
        if is_first {
            self.transitions.clear();
        }
        if matches!(event.kind, EventKind::Transition { .. }) {
            self.transitions.truncate(KEPT - 1);
            self.transitions.push_front(event);
        }
    }
}

pub(super) fn key_of(breaker: &Breaker) -> Key {
    let Breaker { service, caller, endpoint, network, .. } = breaker;
    (service.clone(), caller.clone(), endpoint.clone(), network.clone())
}

/// The time of day of an RFC 3339 time, to the second.
pub(super) fn time_of_day(time: &str) -> &str {
    time.get(11..19).unwrap_or(time)
}

const MIN_WIDTH: u16 = 60;
const MIN_HEIGHT: u16 = 10;
/// As many as the daemon keeps.
const KEPT: usize = 1000;
