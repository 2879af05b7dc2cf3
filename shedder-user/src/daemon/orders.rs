//! Questions and orders from the control socket.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Daemon, report};
use crate::api::model::{BreakerName, Order, Overridden, Override};
use crate::api::{Control, Operator, Subject};
use crate::clock;
use crate::engine::{CellId, Force};

impl Daemon {
    /// Answers one question. A client that has gone away is no error.
    pub(super) fn answer(&mut self, control: Control) {
        match control {
            Control::Status(answer) => drop(answer.send(report::status(self))),
            Control::Glance(answer) => drop(answer.send(self.glance())),
            Control::Metrics(answer) => drop(answer.send(self.metrics_page())),
            Control::Points(answer) => drop(answer.send(self.points())),
            Control::Ready(answer) => drop(answer.send(self.readiness())),
            Control::Events(answer) => drop(answer.send(self.journal.follow())),
            Control::Explain(Subject::Endpoint(endpoint), answer) => {
                drop(answer.send(self.explain_endpoint(&endpoint)));
            }
            Control::Explain(Subject::Process(pid), answer) => {
                drop(answer.send(Ok(self.explain_process(pid))));
            }
            Control::Record(service, answer) => drop(answer.send(self.tap(service))),
            Control::Histogram(selection, answer) => drop(answer.send(self.histogram(&selection))),
            Control::Reload(order, operator, answer) => {
                drop(answer.send(self.order_reload(order, operator)));
            }
            Control::Override(order, operator, answer) => {
                drop(answer.send(self.apply(&order, operator)));
            }
        }
    }

    fn apply(&mut self, order: &Override, operator: Operator) -> Result<Overridden, String> {
        let endpoint = report::endpoint(&order.endpoint)?;
        let ttl = ttl(order)?;
        let reached = self.reached(endpoint, order.caller.as_deref(), order.network.as_deref())?;
        let now = clock::now();
        for (id, _) in &reached {
            let known = match order.order {
                Order::Trip => self.engine.force(*id, Force::Open, ttl, now),
                Order::Hold => self.engine.force(*id, Force::Closed, ttl, now),
                Order::Reset => self.engine.reset(*id, now),
            };
            debug_assert!(known, "every cell has a breaker");
        }
        let breakers: Vec<BreakerName> = reached.into_iter().map(|(_, name)| name).collect();
        self.journal.ordered(order, ttl, operator, breakers.clone());
        self.settle(now);
        Ok(Overridden { breakers })
    }

    /// The breakers of an endpoint, for one caller or all, in one network namespace or all.
    pub(super) fn reached(
        &self,
        endpoint: SocketAddr,
        caller: Option<&str>,
        network: Option<&str>,
    ) -> Result<Vec<(CellId, BreakerName)>, String> {
        let callers = self.config.callers.iter().filter(|caller| !caller.cgroups.is_empty());
        let callers: Vec<&str> = callers.map(|caller| caller.name.as_str()).collect();
        if let Some(caller) = caller
            && !callers.contains(&caller)
        {
            return Err(format!(
                "no caller is called {caller:?}; there are {}",
                callers.join(", ")
            ));
        }
        let reached: Vec<_> = self
            .cells
            .iter()
            .filter(|cell| cell.endpoint == endpoint)
            .map(|cell| (cell.id, report::name(&self.config, cell)))
            .filter(|(_, name)| caller.is_none_or(|caller| name.caller == caller))
            .filter(|(_, name)| network.is_none() || name.network.as_deref() == network)
            .collect();
        if reached.is_empty() {
            let mut of = caller.map_or_else(String::new, |caller| format!(" for caller {caller}"));
            if let Some(network) = network {
                of = format!("{of} in {network}");
            }
            return Err(format!(
                "{endpoint} has no breaker{of}; `shedder status` lists those there are"
            ));
        }
        Ok(reached)
    }
}

/// How long an override lasts: never forever, because nobody remembers it.
fn ttl(order: &Override) -> Result<Duration, String> {
    let ttl = order.for_ms.map_or(DEFAULT_TTL, Duration::from_millis);
    if (MIN_TTL..=MAX_TTL).contains(&ttl) {
        Ok(ttl)
    } else {
        Err(format!("an override lasts from {MIN_TTL:?} to 24h, not {ttl:?}"))
    }
}

const DEFAULT_TTL: Duration = Duration::from_mins(5);
const MIN_TTL: Duration = Duration::from_millis(100);
const MAX_TTL: Duration = Duration::from_hours(24);
