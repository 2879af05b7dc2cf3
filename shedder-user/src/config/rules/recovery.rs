//! `recovery` and `throttle`: how a share is let through, after a trip or instead of one.

use super::super::error::Complaint;
use super::super::value::{At, Time, permille};
use super::layer::layer;
use super::required;
use crate::engine::{RampRule, ThrottleRule};

layer! {
    /// `recovery`
    pub(in crate::config) struct Recovery {
        /// How long until everything is let through again; 0s is at once.
        #[schemars(extend("x-minimum" = "0s", "x-maximum" = "1h", "default" = "10s"))]
        ramp: Time,
        /// The share let through at first.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.1))]
        from: At<f64>,
        /// Above this share of failures the ramp stands still.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.2))]
        freeze: At<f64>,
        /// Above this share of failures the breaker opens again; not less than `freeze`.
        #[schemars(extend("minimum" = 0.001, "maximum" = 1.0, "default" = 0.5))]
        reopen: At<f64>,
    }
}

layer! {
    /// `throttle`
    pub(in crate::config) struct Throttle {
        /// What exceeds so many times the successes of the window is shed.
        #[schemars(extend("minimum" = 1.0, "maximum" = 100.0, "default" = 2.0))]
        multiplier: At<f64>,
        /// How far back successes are counted.
        #[schemars(extend("x-minimum" = "1s", "x-maximum" = "1h", "default" = "10s"))]
        window: Time,
        /// The greatest share that is shed.
        #[schemars(extend("minimum" = 0.001, "maximum" = 0.99, "default" = 0.9))]
        max_shed: At<f64>,
        /// The breaker closes when all went well for so long.
        #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h", "default" = "10s"))]
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
