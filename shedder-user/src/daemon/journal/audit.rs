//! Who changed something: overrides and reloads.
//!
//! Invariant: an order is told of before what comes of it.

use std::fs;
use std::time::Duration;

use humantime::format_duration;
use tracing::{info, warn};

use super::Journal;
use crate::api::Operator;
use crate::api::model::{BreakerName, By, EventKind, Order, Override, Reloaded};
use crate::printable::printable;

impl Journal {
    /// An order that is carried out on `breakers`; `ttl` is how long it lasts.
    pub(in crate::daemon) fn ordered(
        &mut self,
        order: &Override,
        ttl: Duration,
        operator: Operator,
        breakers: Vec<BreakerName>,
    ) {
        let by = by(operator);
        let names: Vec<String> = breakers.iter().map(BreakerName::to_string).collect();
        let mut text = format!("{by}: {} {}", order.order.done(), names.join(", "));
        let for_ms = (order.order != Order::Reset)
            .then(|| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        if for_ms.is_some() {
            let (ttl, endpoint) = (format_duration(ttl), &order.endpoint);
            text = format!("{text} for {ttl}; `shedder reset {endpoint}` ends it");
        }
        info!(order = ?order.order, endpoint = order.endpoint, caller = order.caller, ?ttl, %by, "override");
        self.push(EventKind::Override { order: order.order, for_ms, by, breakers }, text);
    }

    pub(in crate::daemon) fn reloaded(&mut self, reloaded: &Reloaded, by: By) {
        let Reloaded { generation, changes, breakers, .. } = reloaded;
        let (generation, changes, breakers) = (*generation, changes.clone(), *breakers);
        let text = format!(
            "policy file taken up on {}, generation {generation}: {}",
            occasion(&by),
            changes.join("; ")
        );
        info!("{text} ({breakers})");
        self.push(EventKind::Reloaded { generation, changes, breakers, by: Some(by) }, text);
    }

    pub(in crate::daemon) fn reload_failed(&mut self, error: &str, by: By) {
        let text = format!("policy file not taken up on {}: {error}", occasion(&by));
        warn!("{text}");
        self.push(EventKind::ReloadFailed { error: error.to_owned(), by: Some(by) }, text);
    }
}

/// What /proc says of the process while it waits for its answer, as far as it does.
pub(in crate::daemon) fn by(operator: Operator) -> By {
    let Operator { uid, pid } = operator;
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", pid?)).ok();
    let name = read("comm").map(|name| printable(name.trim_end()).into_owned());
    let login = read("loginuid").and_then(|uid| uid.trim().parse().ok());
    By {
        process: name,
        login_uid: login.filter(|uid| *uid != NOBODY_LOGGED_IN),
        ..By::socket(uid, pid)
    }
}

/// As [`By`] shows it, but an order is one.
fn occasion(by: &By) -> String {
    if by.uid.is_some() { format!("order of {by}") } else { by.to_string() }
}

const NOBODY_LOGGED_IN: u32 = u32::MAX;
