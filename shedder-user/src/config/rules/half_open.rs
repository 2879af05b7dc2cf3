//! `half_open`: how a breaker finds out whether the endpoint is back.

use super::super::error::Complaint;
use super::super::value::{At, Time, permille, words};
use super::layer::layer;
use super::required;
use crate::engine::{Admission, CloseGate, HalfOpenRule, OnFailure};

layer! {
    /// `half_open`
    pub(in crate::config) struct HalfOpen {
        /// Who is let through: exactly `tokens` connects as probes, everyone (the next outcomes
        /// decide), or nobody (it closes without a probe).
        #[schemars(extend("default" = "tokens"))]
        admit: At<Admit>,
        /// Connects let through as probes, over all processes of the node.
        #[schemars(extend("minimum" = 1, "maximum" = 10_000, "default" = 3))]
        tokens: At<u32>,
        /// Probes that must succeed; not more than `tokens`, unless `refill` is set.
        #[schemars(extend("minimum" = 1, "default" = 2))]
        successes: At<u32>,
        /// When too few can succeed any more: open again for longer, or count afresh.
        #[schemars(extend("default" = "reopen"))]
        on_failure: At<OnFailure>,
        /// The tokens are granted anew that often; without it once.
        #[schemars(extend("x-minimum" = "10ms", "x-maximum" = "1h"))]
        refill: Time,
        /// The share of probes that must succeed. Goes together with `quantile` and `at_most`.
        #[schemars(extend("minimum" = 0.0, "maximum" = 1.0))]
        success_share: At<f64>,
        /// Which quantile of the probes' answers must be within `at_most`.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0))]
        quantile: At<f64>,
        /// The time that quantile must keep.
        #[schemars(extend("x-minimum" = "1ms", "x-maximum" = "1m"))]
        at_most: Time,
        /// A probe without a result by then has failed.
        #[schemars(extend("x-minimum" = "10ms", "x-maximum" = "1h", "default" = "5s"))]
        deadline: Time,
    }
}

/// Who is let through.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Admit {
    Tokens,
    Everyone,
    Nobody,
}

words!("admission", Admit {
    "tokens" => Self::Tokens,
    "everyone" => Self::Everyone,
    "nobody" => Self::Nobody,
});

words!("answer to a failed probe", OnFailure {
    "reopen" => Self::Reopen,
    "restart" => Self::Restart,
});

impl HalfOpen {
    pub(super) fn rule(&self) -> Result<HalfOpenRule, Complaint> {
        let tokens = required("half_open.tokens", self.tokens.as_ref())?.value;
        Ok(HalfOpenRule {
            admission: match required("half_open.admit", self.admit.as_ref())?.value {
                Admit::Tokens => Admission::Tokens(tokens),
                Admit::Everyone => Admission::Everyone,
                Admit::Nobody => Admission::Skip,
            },
            successes: required("half_open.successes", self.successes.as_ref())?.value,
            on_failure: required("half_open.on_failure", self.on_failure.as_ref())?.value,
            refill: self.refill.as_ref().map(Time::duration),
            gate: self.gate()?,
            deadline: required("half_open.deadline", self.deadline.as_ref())?.duration(),
        })
    }

    /// What the probes as a whole must show: all of it is said, or nothing.
    fn gate(&self) -> Result<Option<CloseGate>, Complaint> {
        const TOGETHER: &str =
            "half_open.success_share, quantile and at_most go together; set all three or none";
        match (&self.success_share, &self.quantile, &self.at_most) {
            (None, None, None) => Ok(None),
            (Some(share), Some(quantile), Some(at_most)) => Ok(Some(CloseGate {
                success_permille: permille("half_open.success_share", share)?,
                quantile_permille: permille("half_open.quantile", quantile)?,
                at_most: at_most.duration(),
            })),
            (Some(given), ..) | (None, Some(given), _) => Err(given.complaint(TOGETHER)),
            (None, None, Some(given)) => Err(given.complaint(TOGETHER)),
        }
    }
}
