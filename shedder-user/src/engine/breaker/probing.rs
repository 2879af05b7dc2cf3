//! Half-open: what the probes of this epoch have shown.

use std::time::Duration;

use shedder_common::breaker::BreakerRow;
use shedder_common::time::Monotonic;

use super::super::evidence::{Buckets, Sample};
use super::super::latencies::{Latencies, merge};
use super::super::policy::{Admission, CloseGate, HalfOpenRule, OnFailure};
use super::super::transition::Cause;

/// The probes so far.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    admitted: u64,
    successes: u64,
    failures: u64,
    /// Successes since the last failure.
    run: u64,
    /// Results there were when the deadline last came.
    concluded: u64,
    /// Batches of tokens granted.
    grants: u32,
    /// Tokens granted again, because nothing came of them.
    void: u32,
    response: Buckets,
    /// Set with the first probe.
    pub(super) deadline: Option<Monotonic>,
    /// When tokens are granted anew.
    pub(super) refill: Option<Monotonic>,
}

/// What the probes decide.
#[derive(Debug)]
pub(super) enum Conclusion {
    /// The endpoint is back.
    Recover(Cause),
    /// It is not.
    Reopen(Cause),
}

impl Probing {
    pub(super) fn new(rule: &HalfOpenRule, now: Monotonic) -> Self {
        Self {
            admitted: 0,
            successes: 0,
            failures: 0,
            run: 0,
            concluded: 0,
            grants: 1,
            void: 0,
            response: Vec::new(),
            deadline: None,
            refill: rule.refill.map(|refill| now.plus(refill)),
        }
    }

    /// Goes on where an earlier one was; how long its answers took is gone.
    pub(super) fn resume(row: &BreakerRow, rule: &HalfOpenRule, now: Monotonic) -> Self {
        let time = |nanoseconds: u64, most: Duration| {
            let at = Monotonic::from_nanos(nanoseconds).min(now.plus(most));
            (nanoseconds != 0).then_some(at)
        };
        Self {
            admitted: row.admitted.into(),
            successes: row.successes.into(),
            failures: row.failures.into(),
            run: row.run.into(),
            concluded: row.concluded.into(),
            grants: row.grants.max(1),
            void: row.void,
            response: Vec::new(),
            deadline: time(row.until_ns, rule.deadline),
            refill: rule
                .refill
                .map(|refill| time(row.refill_ns, refill).unwrap_or_else(|| now.plus(refill))),
        }
    }

    pub(super) fn hand_on(&self, row: &mut BreakerRow) {
        let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        row.admitted = few(self.admitted);
        row.successes = few(self.successes);
        row.failures = few(self.failures);
        row.run = few(self.run);
        row.concluded = few(self.concluded);
        (row.grants, row.void) = (self.grants, self.void);
        row.until_ns = self.deadline.map_or(0, Monotonic::as_nanos);
        row.refill_ns = self.refill.map_or(0, Monotonic::as_nanos);
    }

    /// Probes that succeeded, of those admitted.
    pub(super) const fn share_of_successes(&self) -> (u64, u64) {
        (self.successes, self.admitted)
    }

    /// Takes results in; what they decide, as soon as they leave no doubt.
    pub(super) fn observe(
        &mut self,
        sample: &Sample,
        rule: &HalfOpenRule,
        now: Monotonic,
    ) -> Option<Conclusion> {
        let (admitted, successes, failures) = match rule.admission {
            // Everyone is a probe, and their outcomes are counted as any others.
            Admission::Everyone => {
                let counts = &sample.counts;
                (counts.attempts(), counts.successes, counts.failures())
            }
            Admission::Tokens(_) | Admission::Skip => {
                (sample.probes, sample.probe_successes, sample.probe_failures)
            }
        };
        self.admitted = self.admitted.saturating_add(admitted);
        // What was never admitted cannot be given back.
        let void = sample.probes_void.min(self.admitted);
        self.admitted -= void;
        self.void = self.void.saturating_add(u32::try_from(void).unwrap_or(u32::MAX));
        self.successes = self.successes.saturating_add(successes);
        self.failures = self.failures.saturating_add(failures);
        self.run = if failures > 0 { 0 } else { self.run.saturating_add(successes) };
        if rule.gate.is_some() {
            merge(&mut self.response, &sample.response);
        }
        if admitted > 0 && self.deadline.is_none() {
            self.deadline = Some(now.plus(rule.deadline));
        }
        self.judge(rule)
    }

    /// Tokens to grant in all, of so many at a time. The deadline stays where it was.
    pub(super) const fn tokens(&self, batch: u32) -> u32 {
        batch.saturating_mul(self.grants).saturating_add(self.void)
    }

    /// Grants tokens once more.
    pub(super) fn refill(&mut self, rule: &HalfOpenRule, now: Monotonic) {
        self.grants = self.grants.saturating_add(1);
        self.refill = rule.refill.map(|refill| now.plus(refill));
    }

    /// Decides when the probes' time is up: one that failed or never answered reopens; fewer
    /// callers than tokens, all of them served, is a recovery. Where tokens are granted anew the
    /// probing goes on as long as there are results.
    pub(super) fn conclude(&mut self, rule: &HalfOpenRule, now: Monotonic) -> Option<Conclusion> {
        let results = self.successes.saturating_add(self.failures);
        let all_served = self.successes > 0 && self.successes == self.admitted;
        if rule.refill.is_some() {
            let goes_on = all_served || rule.on_failure == OnFailure::Restart;
            if !goes_on || results == self.concluded {
                return Some(self.reopen());
            }
            self.concluded = results;
            self.deadline = Some(now.plus(rule.deadline));
            return None;
        }
        let may_pass = match &rule.gate {
            // Those without a result have failed.
            Some(gate) => {
                self.successes > 0
                    && self.successes.saturating_mul(1000)
                        >= self.admitted.saturating_mul(gate.success_permille.into())
            }
            None => all_served,
        };
        Some(if may_pass { self.pass_gate(rule.gate.as_ref()) } else { self.reopen() })
    }

    fn judge(&self, rule: &HalfOpenRule) -> Option<Conclusion> {
        let wanted = u64::from(rule.successes);
        if rule.on_failure == OnFailure::Restart {
            return (self.run >= wanted).then(|| self.pass_gate(rule.gate.as_ref()));
        }
        let tokens = match rule.admission {
            Admission::Tokens(tokens) => u64::from(tokens),
            Admission::Everyone | Admission::Skip => wanted,
        };
        if let Some(gate) = &rule.gate {
            // The batch is judged as a whole.
            let may_fail = tokens - (tokens * u64::from(gate.success_permille)).div_ceil(1000);
            if self.failures > may_fail {
                return Some(self.reopen());
            }
            let is_complete = self.successes + self.failures >= tokens;
            return is_complete.then(|| self.pass_gate(Some(gate)));
        }
        if self.successes >= wanted {
            return Some(self.recover());
        }
        (self.failures > tokens.saturating_sub(wanted)).then(|| self.reopen())
    }

    fn pass_gate(&self, gate: Option<&CloseGate>) -> Conclusion {
        let Some(&CloseGate { quantile_permille, at_most, .. }) = gate else {
            return self.recover();
        };
        let responses = Latencies::of(std::iter::once(&self.response));
        let value = responses.quantile_permille(quantile_permille).unwrap_or(0);
        let value = Duration::from_micros(value);
        if value > at_most {
            Conclusion::Reopen(Cause::ProbesSlow { quantile_permille, value, at_most })
        } else {
            self.recover()
        }
    }

    const fn recover(&self) -> Conclusion {
        let (successes, probes) = (self.successes, self.admitted);
        Conclusion::Recover(Cause::ProbesSucceeded { successes, probes })
    }

    const fn reopen(&self) -> Conclusion {
        Conclusion::Reopen(Cause::ProbesFailed {
            failures: self.failures,
            unanswered: self.admitted.saturating_sub(self.successes.saturating_add(self.failures)),
            probes: self.admitted,
        })
    }
}
