//! `open`: what happens to connects and connections while a breaker is open, and for how long it is.

use super::super::error::Complaint;
use super::super::value::{At, Refusal, Time, permille, words};
use super::layer::layer;
use super::required;
use crate::engine::{Established, Growth, OpenRule, ShedAction};

layer! {
    /// `open`
    pub(in crate::config) struct Open {
        /// What becomes of a connect that is shed: it fails at once with `errno`, is held for
        /// `delay`, or goes to a healthy endpoint of the service or its `fallback` (without one it
        /// fails).
        #[schemars(extend("default" = "deny"))]
        action: At<Action>,
        /// The error a refused connect returns.
        #[schemars(extend("default" = "ECONNREFUSED"))]
        errno: At<Refusal>,
        /// How long a connect is held; needed for `action = "delay"`.
        #[schemars(extend("x-minimum" = "1ms", "x-maximum" = "10s"))]
        delay: Time,
        /// Each hold is longer by up to this, by chance.
        #[schemars(extend("x-minimum" = "0s", "x-maximum" = "10s", "default" = "0s"))]
        delay_jitter: Time,
        /// What becomes of connections there are: left alone, ended once nothing is under way on
        /// them, or all ended, a tenth of them a second.
        #[schemars(extend("default" = "keep"))]
        established: At<Established>,
        /// For how long it is open after the first trip.
        #[schemars(extend("x-minimum" = "10ms", "x-maximum" = "1h", "default" = "1s"))]
        base: Time,
        /// The longest it is open; not less than `base`.
        #[schemars(extend("x-minimum" = "10ms", "x-maximum" = "24h", "default" = "1m"))]
        max: Time,
        /// How the time grows with each trip remembered: times `factor`, by `base`, or not at all.
        #[schemars(extend("default" = "exponential"))]
        growth: At<Shape>,
        /// For `growth = "exponential"`.
        #[schemars(extend("minimum" = 1.0, "maximum" = 10.0, "default" = 2.0))]
        factor: At<f64>,
        /// Chance shortens the time by up to this share of it.
        #[schemars(extend("minimum" = 0.0, "maximum" = 1.0, "default" = 0.5))]
        jitter: At<f64>,
    }
}

/// What is done to a connect.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Action {
    Deny,
    Delay,
    Redirect,
}

words!("action", Action {
    "deny" => Self::Deny,
    "delay" => Self::Delay,
    "redirect" => Self::Redirect,
});

words!("fate of established connections", Established {
    "keep" => Self::Keep,
    "drain" => Self::Drain,
    "reset" => Self::Reset,
});

/// How open time grows.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum Shape {
    Exponential,
    Linear,
    Constant,
}

words!("growth", Shape {
    "exponential" => Self::Exponential,
    "linear" => Self::Linear,
    "constant" => Self::Constant,
});

impl Open {
    pub(super) fn action(&self) -> Result<ShedAction, Complaint> {
        let errno = required("open.errno", self.errno.as_ref())?.value.0;
        let action = required("open.action", self.action.as_ref())?;
        match action.value {
            Action::Deny => Ok(ShedAction::Deny(errno)),
            Action::Redirect => Ok(ShedAction::Redirect(errno)),
            Action::Delay => {
                let delay = self.delay.as_ref().ok_or_else(|| {
                    action.complaint("action = \"delay\" needs delay, such as delay = \"100ms\"")
                })?;
                let milliseconds = u16::try_from(delay.duration().as_millis());
                let milliseconds = milliseconds
                    .map_err(|_too_long| delay.complaint("a delay lasts 1ms to 10s"))?;
                Ok(ShedAction::Delay(milliseconds))
            }
        }
    }

    /// In milliseconds.
    pub(super) fn delay_jitter(&self) -> Result<u16, Complaint> {
        let Some(jitter) = &self.delay_jitter else { return Ok(0) };
        let milliseconds = u16::try_from(jitter.duration().as_millis()).unwrap_or(u16::MAX);
        if milliseconds <= MAX_DELAY_JITTER_MS {
            return Ok(milliseconds);
        }
        Err(jitter.complaint("a delay is lengthened by up to 10s"))
    }

    pub(super) fn established(&self) -> Result<Established, Complaint> {
        Ok(required("open.established", self.established.as_ref())?.value)
    }

    pub(super) fn rule(&self) -> Result<OpenRule, Complaint> {
        let factor = required("open.factor", self.factor.as_ref())?.value;
        Ok(OpenRule {
            base: required("open.base", self.base.as_ref())?.duration(),
            max: required("open.max", self.max.as_ref())?.duration(),
            growth: match required("open.growth", self.growth.as_ref())?.value {
                Shape::Exponential => Growth::Exponential(factor),
                Shape::Linear => Growth::Linear,
                Shape::Constant => Growth::Constant,
            },
            jitter_permille: permille(
                "open.jitter",
                required("open.jitter", self.jitter.as_ref())?,
            )?,
        })
    }
}

const MAX_DELAY_JITTER_MS: u16 = 10_000;
