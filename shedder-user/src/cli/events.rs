//! `shedder events`: what happened, and what happens.
//!
//! Invariant: somebody who follows gets each event once, also from a daemon that takes the place of
//! another, and is told when there is none.

mod filter;
mod line;

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, SystemTime};

use clap::Args;
use clap::builder::PossibleValuesParser;
use ratatui::crossterm::terminal;
use tokio::time::sleep;

use self::filter::Filter;
use super::output::{Colour, Paint};
use super::{Failure, Reach};
use crate::api::model::{Event, EventKind};
use crate::api::{Client, ClientError};
use crate::clock;

/// Show what happened: transitions, orders, reloads, errors, each with its cause and what comes next.
///
/// The daemon keeps the last 1000, also over a restart; all are in its journal, by default
/// /var/lib/shedder/journal.jsonl. On a terminal as many are shown as there is room for. With `--follow` the
/// command goes on until interrupted, and waits for the daemon when it goes away.
#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(flatten)]
    reach: Reach,
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Only about this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only about this caller
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Only about this endpoint, as `shedder status` shows it
    #[arg(long, value_name = "ADDRESS:PORT")]
    endpoint: Option<String>,
    /// Only of this kind; may be given several times
    #[arg(long = "kind", value_name = "KIND", value_parser = PossibleValuesParser::new(EventKind::NAMES))]
    kinds: Vec<String>,
    /// Only what happened at most so long ago, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only the last so many of what already happened
    #[arg(long, short = 'n', value_name = "NUMBER")]
    last: Option<usize>,
}

impl Events {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let filter = Filter {
            caller: self.caller.clone(),
            service: self.service.clone(),
            endpoint: self.endpoint.clone(),
            kinds: self.kinds.clone(),
        };
        let mut screen = Screen { json: self.json, paint: Paint::stdout(), filter, seen: None };
        self.reach.ask(async |client| {
            let past = past(&client).await?;
            let last = past.last().map_or(0, |event| event.sequence);
            self.show_past(&mut screen, past);
            if self.follow { follow(&client, &mut screen, last).await } else { Ok(()) }
        })
    }

    /// What is asked for of what already happened.
    fn show_past(&self, screen: &mut Screen, mut past: Vec<Event>) {
        let begin = self.since.and_then(|since| clock::wall(clock::now()).checked_sub(since));
        screen.seen = past.last().map(|event| (event.at.clone(), event.sequence));
        past.retain(|event| screen.filter.wants(event) && happened_after(event, begin));
        let room = self.room();
        let hidden = past.len().saturating_sub(room);
        if hidden > 0 && self.last.is_none() {
            let text = format!("{hidden} earlier events: --last {} shows them too", past.len());
            println!("{}", screen.paint.apply(Colour::Faint, &text));
        }
        for event in &past[hidden..] {
            screen.print(event);
        }
        if past.is_empty() && !self.json && !self.follow {
            println!("No events: nothing happened that was asked for.");
        }
    }

    /// How many lines of the past are wanted.
    fn room(&self) -> usize {
        let is_for_people = stdout().is_terminal() && !self.json && self.since.is_none();
        match self.last {
            Some(last) => last,
            // One line says how many there are besides, one is for what comes next.
            None if is_for_people => {
                terminal::size().map_or(USUAL, |(_, rows)| usize::from(rows).max(USUAL)) - 2
            }
            None => usize::MAX,
        }
    }
}

/// Where events go.
#[derive(Debug)]
struct Screen {
    json: bool,
    paint: Paint,
    filter: Filter,
    /// Time and number of the last event there was.
    seen: Option<(String, u64)>,
}

impl Screen {
    /// Shows what happened after what was seen, if it is wanted.
    fn take(&mut self, event: &Event) -> bool {
        self.seen = Some((event.at.clone(), event.sequence));
        !self.filter.wants(event) || self.print(event)
    }

    /// Whether there is still somebody who reads.
    fn print(&self, event: &Event) -> bool {
        let line = if self.json {
            serde_json::to_string(event).expect("an event has only text keys")
        } else {
            line::line(event, self.paint)
        };
        // Each line at once: the reader may be a program that waits for it.
        writeln!(stdout(), "{line}").and_then(|()| stdout().flush()).is_ok()
    }

    /// Whether an event of some daemon has not been seen: numbers alone do not tell, because a daemon
    /// without a journal begins with one again.
    fn is_new(&self, event: &Event) -> bool {
        let seen = self.seen.as_ref().map(|(at, sequence)| (at.as_str(), *sequence));
        seen.is_none_or(|seen| (event.at.as_str(), event.sequence) > seen)
    }
}

async fn past(client: &Client) -> Result<Vec<Event>, ClientError> {
    let mut past = Vec::new();
    client
        .events(false, |event| {
            past.push(event);
            true
        })
        .await?;
    Ok(past)
}

/// Shows what happens after the event numbered `last`, of this daemon and of each that comes after it.
async fn follow(client: &Client, screen: &mut Screen, mut last: u64) -> Result<(), ClientError> {
    loop {
        let mut is_read = true;
        let ended = client
            .events_after(last, |event| {
                is_read = screen.take(&event);
                is_read
            })
            .await;
        if !is_read {
            return Ok(());
        }
        let why = ended.err().map_or_else(|| "it has ended".to_owned(), |error| error.to_string());
        eprintln!("shedder: the daemon went away ({why}); waiting for it, Ctrl-C ends this");
        let missed = loop {
            sleep(RETRY).await;
            if let Ok(missed) = past(client).await {
                break missed;
            }
        };
        eprintln!("shedder: the daemon is back");
        last = missed.last().map_or(0, |event| event.sequence);
        let new: Vec<Event> = missed.into_iter().filter(|event| screen.is_new(event)).collect();
        if !new.iter().all(|event| screen.take(event)) {
            return Ok(());
        }
    }
}

fn happened_after(event: &Event, begin: Option<SystemTime>) -> bool {
    let Some(begin) = begin else { return true };
    humantime::parse_rfc3339(&event.at).is_ok_and(|at| at >= begin)
}

/// Lines of a terminal that does not say how many it has.
const USUAL: usize = 24;
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: &str, sequence: u64) -> Event {
        let (at, text) = (at.to_owned(), String::new());
        Event { sequence, at, kind: EventKind::Started, text }
    }

    #[test]
    fn what_was_seen_is_not_shown_again_whatever_its_number() {
        let filter = Filter::default();
        let mut screen = Screen { json: true, paint: Paint::plain(), filter, seen: None };
        assert!(screen.is_new(&event("2026-01-01T00:00:00.000Z", 7)));
        screen.seen = Some(("2026-01-01T00:00:01.000Z".to_owned(), 7));
        assert!(!screen.is_new(&event("2026-01-01T00:00:00.000Z", 6)));
        assert!(!screen.is_new(&event("2026-01-01T00:00:01.000Z", 7)));
        assert!(screen.is_new(&event("2026-01-01T00:00:01.000Z", 8)));
        assert!(screen.is_new(&event("2026-01-01T00:00:02.000Z", 1)));
    }

    #[test]
    fn since_looks_at_the_time_of_the_event() {
        let begin = humantime::parse_rfc3339("2026-01-01T00:00:01Z").ok();
        assert!(happened_after(&event("2026-01-01T00:00:01.000Z", 1), begin));
        assert!(!happened_after(&event("2026-01-01T00:00:00.999Z", 1), begin));
        assert!(!happened_after(&event("nonsense", 1), begin));
        assert!(happened_after(&event("nonsense", 1), None));
    }
}
