//! What happens, as those who follow it are told.

use serde::{Deserialize, Serialize};

use super::{BreakerName, By, Fates, Next, Order, Ports, Reason, Window};

/// One line of `GET /v1/events`, and of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one with each event, also from one daemon to the next as long as they keep a journal.
    pub sequence: u64,
    /// RFC 3339.
    pub at: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: EventKind,
    /// One sentence for people.
    pub text: String,
}

/// What an event is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "transitions are what events are about")]
pub enum EventKind {
    /// A breaker changed state.
    Transition {
        /// Who calls.
        caller: String,
        /// What is called.
        service: String,
        /// The policy that decides.
        policy: String,
        /// Address and port.
        endpoint: String,
        /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        network: Option<String>,
        /// State before.
        from: String,
        /// State after.
        to: String,
        /// Why.
        reason: Reason,
        /// For a trip: how far it reaches, and by what evidence.
        #[serde(default)]
        scope: Option<String>,
        /// For a trip that only throttles: why it does not open.
        #[serde(default)]
        restraint: Option<String>,
        /// Trips remembered.
        level: u32,
        /// Whether it changes back and forth, so that it stays open for longer.
        #[serde(default)]
        flapping: bool,
        /// What time alone will bring.
        next: Option<Next>,
        /// The evidence at that moment.
        window: Window,
        /// Whether the policy only observes.
        observe: bool,
        /// Counts the reloads of the policy file.
        #[serde(default)]
        generation: u32,
    },
    /// Something people should know that is no change of one breaker's state.
    Notice {
        /// `alarm`, `node_suspect`, `brake`, `suspended`, `panic`, or `journal`: it is written again.
        notice: String,
        /// The breaker it is about, or one of those.
        breaker: Option<BreakerName>,
    },
    /// A breaker is open, and by its policy the connections there are get ended; or that is over.
    Established {
        /// Who calls.
        caller: String,
        /// What is called.
        service: String,
        /// Address and port.
        endpoint: String,
        /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        network: Option<String>,
        /// `drain` or `reset`.
        fate: String,
        /// Whether it is over: nothing is left, or the breaker is no longer open.
        over: bool,
        /// Connections there were when the breaker opened.
        connections: u64,
        /// Those ended by now.
        destroyed: u64,
        /// Those still there; the others ended by themselves.
        left: u64,
    },
    /// A caller comes near the end of its local ports towards an endpoint, or no longer does.
    Ports {
        /// Whose, and towards what.
        #[serde(flatten)]
        breaker: BreakerName,
        /// How many are taken.
        #[serde(flatten)]
        ports: Ports,
    },
    /// An endpoint got a breaker.
    Discovered {
        /// Who calls.
        caller: String,
        /// What is called.
        service: String,
        /// Address and port.
        endpoint: String,
        /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        network: Option<String>,
    },
    /// An endpoint has lost its breaker: nobody called it for so long, or the policy no longer has it.
    Forgotten {
        /// Who called.
        caller: String,
        /// What was called.
        service: String,
        /// Address and port.
        endpoint: String,
        /// The network namespace, where the policy tells endpoints apart by it: `net:[inode]`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        network: Option<String>,
    },
    /// A cgroup is guarded.
    Attached {
        /// Its path.
        cgroup: String,
        /// The caller it belongs to.
        caller: String,
    },
    /// A cgroup is no longer guarded.
    Detached {
        /// Its path.
        cgroup: String,
        /// The caller it belonged to.
        caller: String,
    },
    /// A changed policy file is in force.
    Reloaded {
        /// One more than before.
        generation: u32,
        /// One line for each change.
        changes: Vec<String>,
        /// What became of the breakers.
        breakers: Fates,
        /// Who had it read.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<By>,
    },
    /// The policy file as it is now cannot be taken up; the one before stays in force.
    ReloadFailed {
        /// Why: file, line and column where there are any.
        error: String,
        /// Who had it read.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<By>,
    },
    /// An operator's order was carried out; the transitions it makes follow.
    Override {
        /// What was done.
        order: Order,
        /// How long it lasts; nothing for `reset`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        for_ms: Option<u64>,
        /// Who gave it.
        by: By,
        /// The breakers it reached.
        breakers: Vec<BreakerName>,
    },
    /// The daemon started.
    Started,
    /// It goes on with the breakers of an earlier daemon.
    TookOver {
        /// How many there are.
        breakers: usize,
        /// How many of them are not closed.
        not_closed: usize,
    },
    /// The daemon is stopping.
    Stopping,
    /// Something is wrong, and the daemon goes on.
    Error,
    /// Events that are missing here: this client was too slow for them, or the journal could not be
    /// written for too long.
    Missed {
        /// How many.
        count: u64,
    },
}

impl EventKind {
    /// Every kind there is, as `event` names it.
    pub const NAMES: [&str; 16] = [
        "transition",
        "override",
        "reloaded",
        "reload_failed",
        "error",
        "notice",
        "established",
        "ports",
        "discovered",
        "forgotten",
        "attached",
        "detached",
        "started",
        "took_over",
        "stopping",
        "missed",
    ];

    /// The kind, as `event` names it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Transition { .. } => "transition",
            Self::Notice { .. } => "notice",
            Self::Established { .. } => "established",
            Self::Ports { .. } => "ports",
            Self::Discovered { .. } => "discovered",
            Self::Forgotten { .. } => "forgotten",
            Self::Attached { .. } => "attached",
            Self::Detached { .. } => "detached",
            Self::Reloaded { .. } => "reloaded",
            Self::ReloadFailed { .. } => "reload_failed",
            Self::Override { .. } => "override",
            Self::Started => "started",
            Self::TookOver { .. } => "took_over",
            Self::Stopping => "stopping",
            Self::Error => "error",
            Self::Missed { .. } => "missed",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Every line that is shown is one of ours, with no field we do not know, and every kind is shown.
    #[test]
    fn the_lines_in_the_documentation_are_events() {
        let text = include_str!("../../../../docs/journal.md");
        let mut shown = BTreeSet::new();
        for line in text.lines().filter(|line| line.starts_with("{\"sequence\"")) {
            let event: Event =
                serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
            let written = serde_json::to_value(&event).expect("an event has only text keys");
            assert_eq!(written, serde_json::from_str::<Value>(line).expect("JSON"), "{line}");
            assert_eq!(written["event"], event.kind.name());
            shown.insert(event.kind.name());
        }
        assert_eq!(shown, EventKind::NAMES.into());
    }

    /// Lines of before there was `by`.
    #[test]
    fn older_lines_are_understood() {
        let line = r#"{"sequence":1,"at":"","event":"reload_failed","error":"e","text":"t"}"#;
        let event: Event = serde_json::from_str(line).expect("an event");
        assert_eq!(event.kind, EventKind::ReloadFailed { error: "e".to_owned(), by: None });
    }
}
