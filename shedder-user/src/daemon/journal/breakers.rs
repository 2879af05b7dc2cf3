//! What happens to breakers and their endpoints.
//!
//! Invariant: log and journal say the same, and each names the breaker it is about.

use tracing::{info, warn};

use super::Journal;
use crate::api::model::EventKind;
use crate::config::Config;
use crate::daemon::cells::Cell;
use crate::daemon::established::Progress;
use crate::daemon::report;
use crate::engine::{Mode, Notice, Transition};

impl Journal {
    /// `trace` is the id of the span this belongs to, where a collector is sent one.
    pub(in crate::daemon) fn transition(
        &mut self,
        config: &Config,
        cell: &Cell,
        transition: &Transition,
        trace: Option<&str>,
    ) {
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
            trace.id = trace,
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

    pub(in crate::daemon) fn notice(
        &mut self,
        config: &Config,
        cell: Option<&Cell>,
        notice: &Notice,
    ) {
        let name = cell.map(|cell| report::name(config, cell));
        let text = match &name {
            Some(name) => format!("{name}: {notice}"),
            None => notice.to_string(),
        };
        warn!("{text}");
        self.push(EventKind::Notice { notice: notice.name().to_owned(), breaker: name }, text);
    }

    pub(in crate::daemon) fn established(
        &mut self,
        config: &Config,
        cell: &Cell,
        progress: &Progress,
    ) {
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

    pub(in crate::daemon) fn ports(&mut self, config: &Config, cell: &Cell) {
        let (breaker, ports) = (report::name(config, cell), report::ports(cell));
        let text = format!("{breaker}: {ports}");
        if ports.pressing {
            warn!("{text}");
        } else {
            info!("{text}");
        }
        self.push(EventKind::Ports { breaker, ports }, text);
    }

    pub(in crate::daemon) fn discovered(&mut self, config: &Config, cell: &Cell) {
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

    pub(in crate::daemon) fn forgotten(&mut self, config: &Config, cell: &Cell, why: &str) {
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
}
