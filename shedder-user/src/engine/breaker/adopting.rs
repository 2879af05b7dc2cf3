//! Another policy for a breaker that has a past.
//!
//! Invariant: nobody can tell from the state, its deadline, the override, the trips remembered or the
//! evidence that the policy has changed; only what the old rules alone could read begins afresh.

use std::sync::Arc;

use shedder_common::time::Monotonic;

use super::{Breaker, Stage};
use crate::engine::policy::{Admission, Policy};
use crate::engine::strategy::Strategy;

impl Breaker {
    /// Goes on under another policy, from now on.
    pub(in crate::engine) fn adopt(&mut self, policy: Arc<Policy>, now: Monotonic) {
        let old = std::mem::replace(&mut self.policy, policy);
        self.windows.adopt(self.policy.strategies().flat_map(Strategy::spans));
        if old.trip != self.policy.trip {
            // Its entries belong to rules by their place.
            self.memory.clear();
        }
        match &mut self.stage {
            Stage::HalfOpen(_) if old.half_open != self.policy.half_open => self.probe_anew(now),
            Stage::Throttled(throttling) => {
                throttling.adopt(&old.throttle, &self.policy.throttle);
            }
            Stage::Closed | Stage::Open { .. } | Stage::HalfOpen(_) | Stage::Recovering(_) => {}
        }
    }

    /// Half-open under other rules: probes that were let through by the old ones decide nothing.
    fn probe_anew(&mut self, now: Monotonic) {
        if self.policy.half_open.admission == Admission::Skip {
            // Without probes it would wait for them forever.
            self.stage = Stage::Open { until: now };
        } else {
            self.forget_probes(now);
        }
        self.new_epoch();
    }
}
