//! What is said about a collector that does not take what it is sent: once when it begins, once when
//! it is over.

use tracing::{info, warn};

use super::super::post::Outcome;
use crate::config::Otlp;

/// Whether there is trouble, and with what.
#[derive(Debug)]
pub(super) struct Outage {
    what: &'static str,
    collector: String,
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Away,
    Refuses,
}

impl Outage {
    pub(super) fn new(what: &'static str, otlp: &Otlp) -> Self {
        Self { what, collector: otlp.authority(), trouble: None }
    }

    /// Hears what became of a request; `is_away` after the last retry. `meanwhile` says what becomes of
    /// what was to be sent.
    pub(super) fn hear(
        &mut self,
        outcome: &Outcome,
        is_away: bool,
        meanwhile: impl FnOnce() -> String,
    ) {
        let Self { what, collector, .. } = self;
        let trouble = match outcome {
            Outcome::Taken(_) => None,
            Outcome::Refused(_) => Some(Trouble::Refuses),
            Outcome::Later(..) if is_away => Some(Trouble::Away),
            // It may yet.
            Outcome::Later(..) => return,
        };
        if trouble == self.trouble {
            return;
        }
        match outcome {
            Outcome::Taken(_) => info!("the collector at {collector} takes {what} again"),
            Outcome::Later(_, why) => {
                let meanwhile = meanwhile();
                warn!("the collector at {collector} takes no {what}: {why}; {meanwhile}");
            }
            Outcome::Refused(why) => {
                warn!("the collector at {collector} refuses {what}: {why}; see otlp in [node]");
            }
        }
        self.trouble = trouble;
    }
}
