//! Asking before anything is done.
//!
//! Invariant: what is asked is what is done: the order is made with the question, not with the answer.

use std::time::Duration;

use crate::api::model::{Breaker, Order, Override};

/// An order that waits for its answer.
#[derive(Debug)]
pub(super) struct Question {
    order: Override,
    service: String,
    policy: String,
    observes: bool,
    /// Index of how long it is to last.
    span: usize,
}

impl Question {
    /// Asks about one breaker.
    pub(super) fn new(order: Order, breaker: &Breaker) -> Self {
        Self {
            order: Override {
                order,
                endpoint: breaker.endpoint.clone(),
                caller: Some(breaker.caller.clone()),
                network: breaker.network.clone(),
                for_ms: None,
            },
            service: breaker.service.clone(),
            policy: breaker.policy.clone(),
            observes: breaker.would_be.is_some(),
            span: DEFAULT_SPAN,
        }
    }

    /// Whether it is about something that lasts.
    pub(super) const fn has_span(&self) -> bool {
        !matches!(self.order.order, Order::Reset)
    }

    pub(super) fn longer(&mut self) {
        self.span = (self.span + 1).min(SPANS.len() - 1);
    }

    pub(super) const fn shorter(&mut self) {
        self.span = self.span.saturating_sub(1);
    }

    /// What exactly will be done, and for how long.
    pub(super) fn text(&self) -> String {
        let Override { order, endpoint, caller, network, .. } = &self.order;
        let caller = caller.as_deref().unwrap_or("every caller");
        let within = network.as_ref().map_or_else(String::new, |network| format!(" in {network}"));
        let what = format!("of {caller} to {} at {endpoint}{within}", self.service);
        let span = humantime::format_duration(SPANS[self.span]);
        match order {
            Order::Trip => {
                let mode = if self.observes { ", although that only observes" } else { "" };
                format!(
                    "trip: shed every connect {what} for {span}, whatever the evidence says, in the way policy {} sheds{mode}?",
                    self.policy
                )
            }
            Order::Hold => format!(
                "hold: let every connect {what} through for {span}, whatever the evidence says?"
            ),
            Order::Reset => format!(
                "reset: close the breaker for connects {what} at once, and drop its override, its evidence and its backoff? This has no end."
            ),
        }
    }

    /// The order to give.
    pub(super) fn into_order(self) -> Override {
        let span = self.has_span().then(|| SPANS[self.span]);
        let for_ms = span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        Override { for_ms, ..self.order }
    }
}

/// How long an order may be made to last.
const SPANS: [Duration; 6] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(4),
    Duration::from_hours(24),
];
/// As `shedder trip`.
const DEFAULT_SPAN: usize = 1;
