//! `recovery` and `throttle`: how a share is let through, after a trip or instead of one.

use super::super::error::Complaint;
use super::super::value::{At, Time, permille};
use super::layer::layer;
use super::required;
use crate::engine::{RampRule, ThrottleRule};

layer! {
    /// `recovery`
    pub(in crate::config) struct Recovery {
        ramp: Time,
        from: At<f64>,
        freeze: At<f64>,
        reopen: At<f64>,
    }
}

layer! {
    /// `throttle`
    pub(in crate::config) struct Throttle {
        multiplier: At<f64>,
        window: Time,
        max_shed: At<f64>,
        calm: Time,
    }
}

impl Recovery {
    pub(super) fn rule(&self) -> Result<RampRule, Complaint> {
        Ok(RampRule {
            duration: required("recovery.ramp", self.ramp.as_ref())?.duration(),
            start_permille: share("recovery.from", self.from.as_ref())?,
            freeze_permille: share("recovery.freeze", self.freeze.as_ref())?,
            reopen_permille: share("recovery.reopen", self.reopen.as_ref())?,
        })
    }
}

impl Throttle {
    pub(super) fn rule(&self) -> Result<ThrottleRule, Complaint> {
        Ok(ThrottleRule {
            multiplier: required("throttle.multiplier", self.multiplier.as_ref())?.value,
            window: required("throttle.window", self.window.as_ref())?.duration(),
            max_shed_permille: share("throttle.max_shed", self.max_shed.as_ref())?,
            calm: required("throttle.calm", self.calm.as_ref())?.duration(),
        })
    }
}

fn share(field: &str, given: Option<&At<f64>>) -> Result<u16, Complaint> {
    permille(field, required(field, given)?)
}
