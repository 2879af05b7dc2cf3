//! `open`: what happens to connects and connections while a breaker is open, and for how long it is.

use super::super::error::Complaint;
use super::super::value::{At, Refusal, Time, permille, words};
use super::layer::layer;
use super::required;
use crate::engine::{Established, Growth, OpenRule, ShedAction};

layer! {
    /// `open`
    pub(in crate::config) struct Open {
        action: At<Action>,
        errno: At<Refusal>,
        delay: Time,
        delay_jitter: Time,
        established: At<Established>,
        base: Time,
        max: Time,
        growth: At<Shape>,
        factor: At<f64>,
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
