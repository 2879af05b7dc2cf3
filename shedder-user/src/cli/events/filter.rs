//! Which events somebody wants to see.
//!
//! Invariant: without a wish everything is wanted, and that events are missing is always told.

use crate::api::model::{Event, EventKind};

/// Wishes; all of them must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Who calls.
    pub(super) caller: Option<String>,
    /// What is called.
    pub(super) service: Option<String>,
    /// Address and port.
    pub(super) endpoint: Option<String>,
    /// Any of these kinds; all without one.
    pub(super) kinds: Vec<String>,
}

impl Filter {
    /// Whether an event is wanted.
    pub(super) fn wants(&self, event: &Event) -> bool {
        if matches!(event.kind, EventKind::Missed { .. }) {
            return true;
        }
        let is_of_kind =
            self.kinds.is_empty() || self.kinds.iter().any(|it| it == event.kind.name());
        is_of_kind && (self.is_about_everything() || self.is_about(&event.kind))
    }

    const fn is_about_everything(&self) -> bool {
        self.caller.is_none() && self.service.is_none() && self.endpoint.is_none()
    }

    fn is_about(&self, kind: &EventKind) -> bool {
        let meets =
            |wish: &Option<String>, is: Option<&String>| wish.is_none() || wish.as_ref() == is;
        let fits = |caller, service, endpoint| {
            meets(&self.caller, caller)
                && meets(&self.service, service)
                && meets(&self.endpoint, endpoint)
        };
        match kind {
            EventKind::Transition { caller, service, endpoint, .. }
            | EventKind::Established { caller, service, endpoint, .. }
            | EventKind::Discovered { caller, service, endpoint, .. }
            | EventKind::Forgotten { caller, service, endpoint, .. } => {
                fits(Some(caller), Some(service), Some(endpoint))
            }
            EventKind::Notice { breaker: Some(name), .. }
            | EventKind::Ports { breaker: name, .. } => {
                fits(Some(&name.caller), Some(&name.service), Some(&name.endpoint))
            }
            EventKind::Override { breakers, .. } => breakers
                .iter()
                .any(|name| fits(Some(&name.caller), Some(&name.service), Some(&name.endpoint))),
            EventKind::Attached { caller, .. } | EventKind::Detached { caller, .. } => {
                fits(Some(caller), None, None)
            }
            EventKind::Notice { breaker: None, .. }
            | EventKind::Reloaded { .. }
            | EventKind::ReloadFailed { .. }
            | EventKind::Started
            | EventKind::TookOver { .. }
            | EventKind::Stopping
            | EventKind::Error
            | EventKind::Missed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::{BreakerName, By, Order};

    fn event(kind: EventKind) -> Event {
        Event { sequence: 1, at: String::new(), kind, text: String::new() }
    }

    fn breaker(caller: &str, endpoint: &str) -> BreakerName {
        let [caller, service, endpoint] = [caller, "db", endpoint].map(str::to_owned);
        BreakerName { caller, service, endpoint, network: None }
    }

    fn override_of(breakers: Vec<BreakerName>) -> Event {
        let (order, by) = (Order::Reset, By::socket(0, None));
        event(EventKind::Override { order, for_ms: None, by, breakers })
    }

    #[test]
    fn all_wishes_must_be_met_by_the_same_breaker() {
        let both = override_of(vec![breaker("web", "10.0.0.1:1"), breaker("app", "10.0.0.2:1")]);
        let of = |caller: &str, endpoint: &str| Filter {
            caller: Some(caller.to_owned()),
            endpoint: Some(endpoint.to_owned()),
            ..Filter::default()
        };
        assert!(of("web", "10.0.0.1:1").wants(&both));
        assert!(!of("web", "10.0.0.2:1").wants(&both));
        assert!(Filter::default().wants(&both));
        let other = Filter { service: Some("cache".to_owned()), ..Filter::default() };
        assert!(!other.wants(&both));
    }

    #[test]
    fn what_is_about_no_breaker_is_kept_out_by_name_but_not_by_kind() {
        let error = event(EventKind::Error);
        let by_name = Filter { caller: Some("web".to_owned()), ..Filter::default() };
        let by_kind = Filter { kinds: vec!["error".to_owned()], ..Filter::default() };
        assert!(!by_name.wants(&error));
        assert!(by_kind.wants(&error));
        assert!(!by_kind.wants(&event(EventKind::Started)));
        let missed = event(EventKind::Missed { count: 1 });
        assert!(by_name.wants(&missed) && by_kind.wants(&missed));
    }
}
