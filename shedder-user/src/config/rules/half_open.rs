//! `half_open`: how a breaker finds out whether the endpoint is back.

use super::super::error::Complaint;
use super::super::value::{At, Time, permille, words};
use super::layer::layer;
use super::required;
use crate::engine::{Admission, CloseGate, HalfOpenRule, OnFailure};

layer! {
    /// `half_open`
    pub(in crate::config) struct HalfOpen {
        admit: At<Admit>,
        tokens: At<u32>,
        successes: At<u32>,
        on_failure: At<OnFailure>,
        refill: Time,
        success_share: At<f64>,
        quantile: At<f64>,
        at_most: Time,
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
