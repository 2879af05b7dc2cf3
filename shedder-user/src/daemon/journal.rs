//! What happened: kept for those who ask, sent to those who follow, logged for the rest.

use std::collections::VecDeque;

use humantime::format_rfc3339_millis;
use tokio::sync::broadcast;
use tracing::{info, warn};

use super::cells::Cell;
use super::established::Progress;
use super::guard::Change;
use super::report;
use crate::api::Follow;
use crate::api::model::{Event, EventKind, Reloaded};
use crate::clock;
use crate::config::Config;
use crate::engine::{Mode, Notice, Transition};

#[derive(Debug)]
pub(super) struct Journal {
    past: VecDeque<Event>,
    future: broadcast::Sender<Event>,
    next: u64,
}

impl Journal {
    pub(super) fn new() -> Self {
        let (future, _) = broadcast::channel(KEPT);
        Self { past: VecDeque::new(), future, next: 1 }
    }

    pub(super) fn follow(&self) -> Follow {
        Follow { past: self.past.iter().cloned().collect(), future: self.future.subscribe() }
    }

    pub(super) fn started(&mut self) {
        self.push(EventKind::Started, format!("shedder {} started", env!("CARGO_PKG_VERSION")));
    }

    pub(super) fn stopping(&mut self) {
        self.push(EventKind::Stopping, "stopping".to_owned());
    }

    pub(super) fn error(&mut self, text: &str) {
        warn!("{text}");
        self.push(EventKind::Error, text.to_owned());
    }

    pub(super) fn transition(&mut self, config: &Config, cell: &Cell, transition: &Transition) {
        let name = report::name(config, cell);
        let change = &transition.change;
        let cause = change.cause.to_string();
        let (from, to) = (change.from.name(), change.to.name());
        let observe = cell.policy.mode == Mode::Observe;
        info!(
            caller = name.caller,
            service = name.service,
            endpoint = name.endpoint,
            network = name.network,
            policy = cell.policy.name,
            from,
            to,
            cause,
            level = change.level,
            observe,
            "transition"
        );
        let only = if observe { " (only observed)" } else { "" };
        let text = format!("{name}: {change}{only}");
        let kind = EventKind::Transition {
            caller: name.caller,
            service: name.service,
            policy: cell.policy.name.clone(),
            endpoint: name.endpoint,
            network: name.network,
            from: from.to_owned(),
            to: to.to_owned(),
            reason: report::reason(&change.cause),
            scope: change.scope.map(|scope| scope.to_string()),
            restraint: change.restraint.map(|restraint| restraint.to_string()),
            level: change.level,
            flapping: change.is_flapping,
            next: change.next.map(report::next),
            window: report::window(&change.window),
            generation: change.generation,
            observe,
        };
        self.push(kind, text);
    }

    pub(super) fn notice(&mut self, config: &Config, cell: Option<&Cell>, notice: &Notice) {
        let name = cell.map(|cell| report::name(config, cell));
        let text = match &name {
            Some(name) => format!("{name}: {notice}"),
            None => notice.to_string(),
        };
        warn!("{text}");
        self.push(EventKind::Notice { notice: notice.name().to_owned(), breaker: name }, text);
    }

    pub(super) fn established(&mut self, config: &Config, cell: &Cell, progress: &Progress) {
        let name = report::name(config, cell);
        let text = format!("{name}: {progress}");
        info!("{text}");
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let kind = EventKind::Established {
            caller: name.caller,
            service: name.service,
            endpoint: name.endpoint,
            network: name.network,
            fate: progress.fate().to_owned(),
            over: progress.is_over,
            connections: count(progress.connections),
            destroyed: count(progress.destroyed),
            left: count(progress.left),
        };
        self.push(kind, text);
    }

    pub(super) fn ports(&mut self, config: &Config, cell: &Cell) {
        let (breaker, ports) = (report::name(config, cell), report::ports(cell));
        let text = format!("{breaker}: {ports}");
        if ports.pressing {
            warn!("{text}");
        } else {
            info!("{text}");
        }
        self.push(EventKind::Ports { breaker, ports }, text);
    }

    pub(super) fn discovered(&mut self, config: &Config, cell: &Cell) {
        let name = report::name(config, cell);
        info!(
            caller = name.caller,
            service = name.service,
            endpoint = name.endpoint,
            network = name.network,
            "discovered"
        );
        let text = format!("found {name}");
        let kind = EventKind::Discovered {
            caller: name.caller,
            service: name.service,
            endpoint: name.endpoint,
            network: name.network,
        };
        self.push(kind, text);
    }

    pub(super) fn forgotten(&mut self, config: &Config, cell: &Cell, why: &str) {
        let name = report::name(config, cell);
        info!(
            caller = name.caller,
            service = name.service,
            endpoint = name.endpoint,
            network = name.network,
            why,
            "forgotten"
        );
        let text = format!("forgot {name}: {why}");
        let kind = EventKind::Forgotten {
            caller: name.caller,
            service: name.service,
            endpoint: name.endpoint,
            network: name.network,
        };
        self.push(kind, text);
    }

    pub(super) fn reloaded(&mut self, reloaded: &Reloaded) {
        let Reloaded { generation, changes, breakers, .. } = reloaded;
        let (generation, changes, breakers) = (*generation, changes.clone(), *breakers);
        let text = format!("policy file taken up, generation {generation}: {}", changes.join("; "));
        info!("{text} ({breakers})");
        self.push(EventKind::Reloaded { generation, changes, breakers }, text);
    }

    pub(super) fn reload_failed(&mut self, error: &str) {
        let text = format!("policy file not taken up: {error}");
        warn!("{text}");
        self.push(EventKind::ReloadFailed { error: error.to_owned() }, text);
    }

    pub(super) fn guard(&mut self, config: &Config, change: &Change) {
        let name = |caller: usize| config.callers[caller].name.clone();
        match change {
            Change::Attached { path, caller } => {
                info!(cgroup = path, caller = name(*caller), "attached");
                let text = format!("guarding {path} as {}", name(*caller));
                self.push(
                    EventKind::Attached { cgroup: path.clone(), caller: name(*caller) },
                    text,
                );
            }
            Change::Detached { path, caller } => {
                info!(cgroup = path, caller = name(*caller), "detached");
                let text = format!("{path} is gone and no longer guarded");
                self.push(
                    EventKind::Detached { cgroup: path.clone(), caller: name(*caller) },
                    text,
                );
            }
            Change::Dropped { path, caller } => {
                info!(cgroup = path, caller = name(*caller), "dropped");
                let text = format!("{path} is no longer guarded as {}", name(*caller));
                self.push(
                    EventKind::Detached { cgroup: path.clone(), caller: name(*caller) },
                    text,
                );
            }
            Change::Refused { path, why } => self.error(&format!("{path} is not guarded: {why}")),
        }
    }

    fn push(&mut self, kind: EventKind, text: String) {
        let at = format_rfc3339_millis(clock::wall(clock::now())).to_string();
        let event = Event { sequence: self.next, at, kind, text };
        self.next += 1;
        if self.past.len() == KEPT {
            self.past.pop_front();
        }
        self.past.push_back(event.clone());
        // Nobody following is no error.
        drop(self.future.send(event));
    }
}

/// Events kept in memory.
const KEPT: usize = 1000;
