//! What a policy lets a cell see of what was recorded.
//!
//! Invariant: nothing is made up. A connect that is refused takes at most one recorded outcome with
//! it, and what the recording does not say is counted as unknown.

use shedder_common::histogram::lower_bound;
use shedder_common::time::Monotonic;

use crate::engine::{Buckets, Chance, Counts, Directive, Sample, Unfinished};
use crate::recording::Second;

/// One cell under one policy.
#[derive(Clone, Debug)]
pub(super) struct Guarded {
    epoch: u16,
    /// When the epoch began.
    since: Monotonic,
    /// Probes let through in it, and those without a result.
    probes: u64,
    pending: u64,
    /// Thousandths of a connect that were admitted and not yet used.
    turn: u64,
    /// Failures in a row, and as many as there were when the second began.
    run: u64,
    run_before: u64,
    shown_run: u64,
    /// The last second something was seen in, and what was unfinished at its end.
    second: u64,
    unfinished: Unfinished,
}

/// A part of a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) second: &'a Second,
    /// Seconds since the beginning of the recording.
    pub(super) number: u64,
    /// Which part, of how many.
    pub(super) step: u64,
    pub(super) steps: u64,
    pub(super) now: Monotonic,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) connects: u64,
    pub(super) refused: u64,
    /// Of those refused: they would have succeeded, and nobody knows.
    pub(super) good: f64,
    pub(super) unknown: f64,
    /// Outcomes of what was let through.
    pub(super) successes: u64,
    pub(super) failures: u64,
}

impl Guarded {
    pub(super) fn new(now: Monotonic) -> Self {
        Self {
            epoch: 0,
            since: now,
            probes: 0,
            pending: 0,
            turn: 0,
            run: 0,
            run_before: 0,
            shown_run: 0,
            second: 0,
            unfinished: Unfinished::default(),
        }
    }

    /// What the engine is shown of a part of a second, nothing when nothing; and what became of it.
    pub(super) fn meet(
        &mut self,
        part: &Part<'_>,
        directive: &Directive,
        chance: &mut Chance,
    ) -> (Option<Sample>, Tally) {
        if self.epoch != directive.epoch {
            let Part { now, .. } = *part;
            let (second, unfinished) = (self.second, std::mem::take(&mut self.unfinished));
            let epoch = directive.epoch;
            *self = Self { epoch, second, unfinished, ..Self::new(now) };
        }
        let recorded = part.cut();
        let asked = recorded.counts.connects;
        let shed_then = recorded.counts.shed.min(asked);
        let admitted = self.admit(directive, asked);
        let refused = asked - admitted;
        // Those shed when it was recorded have no outcome that could be missing.
        let told = refused.saturating_sub(shed_then);
        let attempts = recorded.counts.attempts();
        let share = match (attempts, asked) {
            (0, 0) => Share::ALL,
            (0, _) => Share(admitted, asked),
            _ => Share(attempts.saturating_sub(told), attempts),
        };
        let mut sample = Sample {
            counts: share.of_counts(&recorded.counts, chance),
            connect: share.of_buckets(&recorded.connect, chance),
            response: share.of_buckets(&recorded.response, chance),
            rtt: recorded.rtt,
            unfinished: self.unfinished(part, share, chance),
            ..Sample::default()
        };
        sample.counts.connects = asked;
        sample.counts.shed = refused;
        let mut tally = Tally {
            connects: asked,
            refused,
            successes: sample.counts.successes,
            failures: sample.counts.failures(),
            ..Tally::default()
        };
        let good = good_share(part.second);
        if refused > 0 {
            let told = real(refused) * real(asked - shed_then) / real(asked);
            tally.good = told * good.unwrap_or(0.0);
            tally.unknown = if good.is_some() { real(refused) - told } else { real(refused) };
        }
        self.probe(directive, admitted, good, &mut sample, chance);
        if sample.probe_successes > 0 {
            sample.response.clone_from(&part.second.sample.response);
        }
        sample.failure_run = self.follow_run(part, &sample.counts, refused);
        let is_news = !sample.is_empty() || sample.failure_run != self.shown_run;
        self.shown_run = sample.failure_run;
        (is_news.then_some(sample), tally)
    }

    /// How many of so many connects go through.
    fn admit(&mut self, directive: &Directive, asked: u64) -> u64 {
        if !directive.sheds() {
            return asked;
        }
        if let Some(tokens) = directive.tokens {
            return asked.min(u64::from(tokens).saturating_sub(self.probes));
        }
        self.turn += asked * u64::from(directive.admit_permille.min(1000));
        let admitted = self.turn / 1000;
        self.turn %= 1000;
        admitted.min(asked)
    }

    /// Probes end as the share of the second says, the earliest a step after they began.
    fn probe(
        &mut self,
        directive: &Directive,
        admitted: u64,
        good: Option<f64>,
        sample: &mut Sample,
        chance: &mut Chance,
    ) {
        if directive.tokens.is_none() {
            return;
        }
        if let Some(good) = good {
            for _ in 0..std::mem::take(&mut self.pending) {
                let is_good = part_of_one(chance) < good;
                sample.probe_successes += u64::from(is_good);
                sample.probe_failures += u64::from(!is_good);
            }
        }
        sample.probes = admitted;
        self.probes += admitted;
        self.pending += admitted;
    }

    /// What has begun in this epoch and not ended. The recording says how it was at the end of each
    /// second; until then it is as it was.
    fn unfinished(&mut self, part: &Part<'_>, share: Share, chance: &mut Chance) -> Unfinished {
        if self.second + 1 < part.number {
            self.unfinished = Unfinished::default();
        }
        if part.is_last() {
            self.unfinished = part.second.sample.unfinished.clone();
            self.second = part.number;
        }
        let most_us = u64::try_from(part.now.since(self.since).as_micros()).unwrap_or(u64::MAX);
        let is_young = |(age, _): &&(u8, u32)| lower_bound(u32::from(*age)) <= most_us;
        let young = |ages: &Buckets| -> Buckets { ages.iter().filter(is_young).copied().collect() };
        let Unfinished { connecting, waiting, stalled_connecting, stalled_waiting, in_flight } =
            &self.unfinished;
        Unfinished {
            connecting: share.of_buckets(&young(connecting), chance),
            waiting: share.of_buckets(&young(waiting), chance),
            stalled_connecting: share.of(*stalled_connecting, chance),
            stalled_waiting: share.of(*stalled_waiting, chance),
            in_flight: *in_flight,
        }
    }

    /// Failures in a row. Within a second that has both, the recording says how long the longest run
    /// was and how long the last; they are shown in its middle and at its end.
    fn follow_run(&mut self, part: &Part<'_>, counts: &Counts, refused: u64) -> u64 {
        if part.step == 0 {
            self.run_before = self.run;
        }
        let whole = &part.second.sample.counts;
        if whole.successes == 0 {
            self.run = self.run.saturating_add(counts.failures());
        } else if whole.failures() == 0 {
            self.run = 0;
        } else if refused > 0 {
            self.run = if counts.successes > 0 { 0 } else { self.run + counts.failures() };
        } else {
            let most = self.run_before.saturating_add(whole.failures());
            let (longest, last) = (part.second.longest_run, part.second.sample.failure_run);
            self.run = if part.is_last() {
                last.min(most)
            } else if part.step == part.steps / 2 && longest > last {
                longest.min(most)
            } else {
                0
            };
        }
        self.run
    }
}

impl Part<'_> {
    const fn is_last(&self) -> bool {
        self.step + 1 == self.steps
    }

    /// What is counted, spread evenly over the second.
    fn cut(&self) -> Sample {
        let Self { step, steps, .. } = *self;
        let of = |number: u64| number * (step + 1) / steps - number * step / steps;
        let Sample { counts, connect, response, rtt, .. } = &self.second.sample;
        let buckets = |buckets: &Buckets| -> Buckets {
            let cut = buckets.iter().map(|(bucket, count)| (*bucket, narrow(of((*count).into()))));
            cut.filter(|(_, count)| *count > 0).collect()
        };
        Sample {
            counts: each_count(counts, of),
            connect: buckets(connect),
            response: buckets(response),
            rtt: buckets(rtt),
            ..Sample::default()
        }
    }
}

/// So many of so many.
#[derive(Clone, Copy, Debug)]
struct Share(u64, u64);

impl Share {
    const ALL: Self = Self(1, 1);

    /// The share of a number. What is left over is decided by chance.
    fn of(self, number: u64, chance: &mut Chance) -> u64 {
        let Self(part, whole) = self;
        let (product, whole) = (u128::from(number) * u128::from(part), u128::from(whole));
        let left = product % whole;
        let more = left > 0 && u128::from(chance.next()) % whole < left;
        u64::try_from(product / whole).unwrap_or(u64::MAX) + u64::from(more)
    }

    fn of_counts(self, counts: &Counts, chance: &mut Chance) -> Counts {
        each_count(counts, |number| self.of(number, chance))
    }

    fn of_buckets(self, buckets: &Buckets, chance: &mut Chance) -> Buckets {
        let of = buckets
            .iter()
            .map(|(bucket, count)| (*bucket, narrow(self.of((*count).into(), chance))));
        of.filter(|(_, count)| *count > 0).collect()
    }
}

/// How many connects of a second would have succeeded: the smaller of the share that was
/// established and of the outcomes that were answers. Nothing when nothing ended.
fn good_share(second: &Second) -> Option<f64> {
    let counts = &second.sample.counts;
    let attempts = counts.attempts();
    if attempts == 0 {
        return None;
    }
    let answered = real(counts.successes) / real(attempts);
    let through = counts.connects.saturating_sub(counts.shed);
    let established: u64 = second.sample.connect.iter().map(|(_, count)| u64::from(*count)).sum();
    if through == 0 {
        return Some(answered);
    }
    Some(answered.min(real(established) / real(through)))
}

fn each_count(counts: &Counts, mut of: impl FnMut(u64) -> u64) -> Counts {
    Counts {
        connects: of(counts.connects),
        shed: of(counts.shed),
        successes: of(counts.successes),
        refused: of(counts.refused),
        timed_out: of(counts.timed_out),
        unreachable: of(counts.unreachable),
        reset: of(counts.reset),
        errored: of(counts.errored),
        segments: of(counts.segments),
        retransmits: of(counts.retransmits),
    }
}

fn part_of_one(chance: &mut Chance) -> f64 {
    real(chance.next() % 1_000_000) / 1e6
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
const fn real(value: u64) -> f64 {
    value as f64
}
