//! `safety`: what a breaker may do to the service it belongs to.

use super::super::error::Complaint;
use super::super::value::{At, permille, words};
use super::layer::layer;
use super::required;
use crate::engine::{Lone, SafetyRule, ScopeRule};

layer! {
    /// `safety`
    pub(in crate::config) struct Safety {
        /// Of a service's endpoints in use, how many percent may be open for one caller; the others
        /// are throttled.
        #[schemars(extend("minimum" = 1, "maximum" = 100, "default" = 50))]
        max_open_percent: At<u8>,
        /// What becomes of the only endpoint of a service.
        #[schemars(extend("default" = "throttle"))]
        lone: At<Lone>,
        /// When so many percent of them fail, all are let through; 0 is never.
        #[schemars(extend("minimum" = 0, "maximum" = 100, "default" = 0))]
        panic_percent: At<u8>,
        /// `endpoint` lets callers that see an endpoint fail open it for others that call it;
        /// `cell` does not.
        #[schemars(extend("default" = "endpoint"))]
        scope: At<ScopeRule>,
        /// A policy that refuses more than this share of a caller's connects wrongly, by its own
        /// estimate, only observes; 0 is never.
        #[schemars(extend("minimum" = 0.0, "maximum" = 1.0, "default" = 0.01))]
        false_refusals: At<f64>,
    }
}

words!("way to treat a lone endpoint", Lone {
    "throttle" => Self::Throttle,
    "open" => Self::Open,
});

words!("scope", ScopeRule {
    "endpoint" => Self::Endpoint,
    "cell" => Self::Cell,
});

impl Safety {
    pub(super) fn rule(&self) -> Result<SafetyRule, Complaint> {
        let false_refusals = match &self.false_refusals {
            Some(share) => permille("safety.false_refusals", share)?,
            None => 0,
        };
        Ok(SafetyRule {
            max_open_percent: required("safety.max_open_percent", self.max_open_percent.as_ref())?
                .value,
            lone: required("safety.lone", self.lone.as_ref())?.value,
            // Zero switches off what a preset switches on.
            panic_percent: self
                .panic_percent
                .as_ref()
                .map(|percent| percent.value)
                .filter(|percent| *percent != 0),
            scope: required("safety.scope", self.scope.as_ref())?.value,
            false_refusals_permille: Some(false_refusals).filter(|share| *share != 0),
        })
    }
}
