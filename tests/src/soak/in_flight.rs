//! Whether the counters of what is in flight end at zero.
//!
//! Invariant: where `status --json` shows no such counters nothing is claimed.

use serde::Serialize;
use serde_json::Value;

/// What is in flight over all breakers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct InFlight {
    pub(super) connecting: u64,
    pub(super) waiting: u64,
}

impl InFlight {
    /// As `status --json` has it; nothing when a breaker does not show it.
    pub(super) fn of(status: &Value) -> Option<Self> {
        let mut sum = Self::default();
        for breaker in status["breakers"].as_array()? {
            let in_flight = &breaker["in_flight"];
            sum.connecting += in_flight["connecting"].as_u64()?;
            sum.waiting += in_flight["waiting"].as_u64()?;
        }
        Some(sum)
    }

    pub(super) const fn is_zero(self) -> bool {
        self.connecting == 0 && self.waiting == 0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_added_up_where_every_breaker_shows_it() {
        let shown = json!({ "breakers": [
            { "in_flight": { "connecting": 1, "waiting": 0 } },
            { "in_flight": { "connecting": 0, "waiting": 2 } },
        ] });
        assert_eq!(InFlight::of(&shown), Some(InFlight { connecting: 1, waiting: 2 }));
        let hidden = json!({ "breakers": [{ "state": "closed" }] });
        assert_eq!(InFlight::of(&hidden), None);
    }
}
