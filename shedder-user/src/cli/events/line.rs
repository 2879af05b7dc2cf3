//! One event as a line for people.
//!
//! Invariant: the words are the event's own; only colours are added, and only where they are welcome.

use super::super::output::{Colour, Paint};
use crate::api::model::{Event, EventKind};

/// The time, then the sentence.
pub(super) fn line(event: &Event, paint: Paint) -> String {
    let at = paint.apply(Colour::Faint, &event.at);
    let text = colour(&event.kind)
        .map_or_else(|| event.text.clone(), |colour| paint.apply(colour, &event.text));
    format!("{at}  {text}")
}

fn colour(kind: &EventKind) -> Option<Colour> {
    match kind {
        EventKind::Transition { to, .. } => Some(Colour::of_state(to)),
        EventKind::Error | EventKind::ReloadFailed { .. } => Some(Colour::Red),
        EventKind::Notice { .. } | EventKind::Missed { .. } => Some(Colour::Yellow),
        EventKind::Ports { ports, .. } => ports.pressing.then_some(Colour::Yellow),
        EventKind::Override { .. } | EventKind::Reloaded { .. } => Some(Colour::Cyan),
        EventKind::Started | EventKind::TookOver { .. } | EventKind::Stopping => Some(Colour::Bold),
        EventKind::Established { .. }
        | EventKind::Discovered { .. }
        | EventKind::Forgotten { .. }
        | EventKind::Attached { .. }
        | EventKind::Detached { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_it_is_the_time_and_the_sentence() {
        let (at, text) = ("2026-01-01T00:00:00.000Z".to_owned(), "stopping".to_owned());
        let event = Event { sequence: 1, at, kind: EventKind::Stopping, text };
        assert_eq!(line(&event, Paint::plain()), "2026-01-01T00:00:00.000Z  stopping");
    }
}
