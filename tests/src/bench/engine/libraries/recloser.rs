//! `recloser`: the share of failures among the last so many calls; half-open lets everyone through
//! until so many outcomes are known.
//!
//! Invariant: as for the parent.

use std::time::Duration;

use ::recloser::{AsyncRecloser, Error, Recloser};

use super::{Pace, Pending, Tuning};
use crate::bench::engine::replay::{Ended, Subject};

/// A breaker. Default: half of the last 100 calls, open for 30 s, judged by 10 calls. Tuned: half of
/// the last 20 calls, open for 1 s to 1 min, judged by 3. It knows no run of failures and no time.
pub(in crate::bench::engine) fn breaker(tuning: Tuning, pace: Pace) -> Recloser {
    match tuning {
        Tuning::Default => Recloser::custom().open_wait(pace.seconds(30)).build(),
        Tuning::LikeOurs | Tuning::Runs => {
            let most = pace.seconds(60);
            Recloser::custom()
                .error_rate(0.5)
                .closed_len(20)
                .half_open_len(3)
                .open_wait(pace.seconds(1))
                .open_wait_strategy(move |failures: u32, wait: Duration| {
                    wait.saturating_mul(1 << failures.min(6)).min(most)
                })
                .build()
        }
    }
}

impl Subject for AsyncRecloser {
    type Ticket = Pending;

    fn ask(&mut self, _at_ns: u64) -> Option<Pending> {
        Pending::begin(|ending| {
            let call = self.call(ending);
            async { matches!(call.await, Err(Error::Rejected)) }
        })
    }

    fn tell(&mut self, ticket: Pending, ended: &Ended) {
        ticket.end(ended.is_ok);
    }
}
