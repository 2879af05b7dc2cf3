//! What happens, as those who follow it are told.

use serde::{Deserialize, Serialize};

use super::{BreakerName, Fates, Next, Ports, Reason, Window};

/// One line of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one with each event of this daemon.
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
        /// `alarm`, `node_suspect`, `brake`, `suspended` or `panic`.
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
    },
    /// The policy file as it is now cannot be taken up; the one before stays in force.
    ReloadFailed {
        /// Why: file, line and column where there are any.
        error: String,
    },
    /// The daemon started.
    Started,
    /// The daemon is stopping.
    Stopping,
    /// Something is wrong, and the daemon goes on.
    Error,
    /// Events this client was too slow for.
    Missed {
        /// How many.
        count: u64,
    },
}
