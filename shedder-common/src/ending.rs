//! What the end of a connection says about its endpoint: the same function in the kernel and on
//! the host.
//!
//! When in doubt it says nothing. A failure counted wrongly refuses calls that would have
//! succeeded; one missed is made up for by the next.

/// How an attempt, a turn or a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer arrived after this many nanoseconds.
    Answered(u64),
    /// An answer arrived that says that the endpoint failed.
    Errored,
    /// Established and ended in good order without a measured request.
    IdleClose,
    /// The SYN was answered with a reset.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The network said that the host cannot be reached.
    Unreachable,
    /// Reset where an answer was due.
    Reset,
    /// Closed by the peer where an answer was due, without a byte of one.
    HungUp,
    /// The caller gave up waiting, sooner than would say something about the endpoint.
    GaveUp,
    /// Says nothing about the endpoint.
    Abandoned,
}

/// What the kernel says of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Without an error: the caller closed, in good order or by giving up.
    Closed,
    /// The peer said that it will send no more, while an answer was due.
    HungUp,
    /// `ECONNREFUSED`
    Refused,
    /// `ETIMEDOUT`
    TimedOut,
    /// `EHOSTUNREACH` and its kin.
    Unreachable,
    /// `ECONNRESET` or `EPIPE`
    Reset,
    /// Any other error: an administrator, or something local.
    Local,
}

/// What is known of a connection when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact about a connection")]
pub struct Life {
    /// The handshake was not complete.
    pub is_connecting: bool,
    /// The SYN was still being held.
    pub is_held: bool,
    /// A request was sent and no answer had come.
    pub is_waiting: bool,
    /// Something had arrived before.
    pub has_answered: bool,
    /// An outcome was counted before.
    pub has_outcome: bool,
    /// The peer had said that it will send no more before the last request was sent.
    pub is_peer_closed: bool,
    /// How long the caller waited: since the request if one is open, else since the SYN.
    pub waited_ns: u64,
}

/// The outcome to count, if any. A caller that gives up after `patience_ns` has seen a timeout.
#[inline(always)]
pub const fn outcome(life: &Life, end: End, patience_ns: u64) -> Option<Outcome> {
    if life.is_connecting {
        return Some(of_attempt(life, end, patience_ns));
    }
    if life.is_waiting {
        return Some(of_turn(life, end, patience_ns));
    }
    if !life.has_answered {
        return Some(of_silence(life, end, patience_ns));
    }
    // An idle connection that had its answers. If none of them was measured it still went well.
    if matches!(end, End::Closed) && !life.has_outcome { Some(Outcome::IdleClose) } else { None }
}

/// The handshake was not complete.
#[inline(always)]
const fn of_attempt(life: &Life, end: End, patience_ns: u64) -> Outcome {
    match end {
        End::Closed if life.is_held => Outcome::Abandoned,
        End::Closed => after_waiting(life, patience_ns),
        End::Refused => Outcome::Refused,
        End::TimedOut => Outcome::TimedOut,
        End::Unreachable => Outcome::Unreachable,
        End::Reset => Outcome::Reset,
        End::HungUp => Outcome::HungUp,
        End::Local => Outcome::Abandoned,
    }
}

/// A request was open.
#[inline(always)]
const fn of_turn(life: &Life, end: End, patience_ns: u64) -> Outcome {
    // A kept connection used once too often is the caller's doing. Nor is a hang-up after earlier
    // answers held against the peer: what looked like a request may have wanted no answer.
    let is_excused = life.has_answered && (life.is_peer_closed || matches!(end, End::HungUp));
    match end {
        _ if is_excused => Outcome::Abandoned,
        _ if life.is_peer_closed => Outcome::HungUp,
        End::Closed => after_waiting(life, patience_ns),
        End::TimedOut => Outcome::TimedOut,
        End::Unreachable => Outcome::Unreachable,
        End::Reset | End::Refused => Outcome::Reset,
        End::HungUp => Outcome::HungUp,
        End::Local => Outcome::Abandoned,
    }
}

/// Established, nothing asked, nothing heard.
#[inline(always)]
const fn of_silence(life: &Life, end: End, patience_ns: u64) -> Outcome {
    let is_old = life.waited_ns >= patience_ns;
    match end {
        // Connected and closed at once, as health checks do.
        End::Closed if !life.is_peer_closed && !is_old => Outcome::IdleClose,
        // Accepted and reset. An old unused connection that is reset has merely been tidied away.
        End::Reset if !is_old => Outcome::Reset,
        End::Closed
        | End::Reset
        | End::HungUp
        | End::Refused
        | End::TimedOut
        | End::Unreachable
        | End::Local => Outcome::Abandoned,
    }
}

#[inline(always)]
const fn after_waiting(life: &Life, patience_ns: u64) -> Outcome {
    if life.waited_ns >= patience_ns { Outcome::TimedOut } else { Outcome::GaveUp }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: u64 = 1_000;
    /// Established a moment ago, nothing said yet.
    const FRESH: Life = Life {
        is_connecting: false,
        is_held: false,
        is_waiting: false,
        has_answered: false,
        has_outcome: false,
        is_peer_closed: false,
        waited_ns: 10,
    };
    const CONNECTING: Life = Life { is_connecting: true, ..FRESH };
    const WAITING: Life = Life { is_waiting: true, ..FRESH };
    const SERVED: Life = Life { has_answered: true, has_outcome: true, ..FRESH };

    const fn after_long(life: Life) -> Life {
        Life { waited_ns: PATIENCE, ..life }
    }

    fn check(life: Life, end: End, expected: Option<Outcome>) {
        assert_eq!(outcome(&life, end, PATIENCE), expected, "{life:?} {end:?}");
    }

    #[test]
    fn attempts_fail_by_what_the_network_said() {
        check(CONNECTING, End::Refused, Some(Outcome::Refused));
        check(CONNECTING, End::TimedOut, Some(Outcome::TimedOut));
        check(CONNECTING, End::Unreachable, Some(Outcome::Unreachable));
        check(CONNECTING, End::Local, Some(Outcome::Abandoned));
    }

    #[test]
    fn giving_up_counts_after_a_fair_wait_only() {
        for life in [CONNECTING, WAITING, Life { has_answered: true, ..WAITING }] {
            check(life, End::Closed, Some(Outcome::GaveUp));
            check(after_long(life), End::Closed, Some(Outcome::TimedOut));
        }
        let held = Life { is_held: true, ..after_long(CONNECTING) };
        check(held, End::Closed, Some(Outcome::Abandoned));
    }

    #[test]
    fn local_ends_say_nothing_however_long_it_took() {
        for life in [CONNECTING, WAITING, FRESH] {
            check(after_long(life), End::Local, Some(Outcome::Abandoned));
        }
        check(after_long(SERVED), End::Local, None);
    }

    #[test]
    fn a_hang_up_counts_where_nothing_was_ever_answered() {
        check(WAITING, End::HungUp, Some(Outcome::HungUp));
        let kept = Life { is_waiting: true, ..SERVED };
        check(kept, End::HungUp, Some(Outcome::Abandoned));
        check(kept, End::Reset, Some(Outcome::Reset));
        let late = Life { is_peer_closed: true, ..WAITING };
        check(late, End::Closed, Some(Outcome::HungUp));
        let stale = Life { is_peer_closed: true, ..kept };
        check(stale, End::Reset, Some(Outcome::Abandoned));
    }

    #[test]
    fn silence_is_judged_by_age() {
        check(FRESH, End::Closed, Some(Outcome::IdleClose));
        check(FRESH, End::Reset, Some(Outcome::Reset));
        check(after_long(FRESH), End::Closed, Some(Outcome::Abandoned));
        check(after_long(FRESH), End::Reset, Some(Outcome::Abandoned));
        let hung_up = Life { is_peer_closed: true, ..FRESH };
        check(hung_up, End::Closed, Some(Outcome::Abandoned));
    }

    #[test]
    fn a_served_connection_has_one_outcome_at_least() {
        check(SERVED, End::Closed, None);
        check(SERVED, End::Reset, None);
        let unmeasured = Life { has_outcome: false, ..SERVED };
        check(unmeasured, End::Closed, Some(Outcome::IdleClose));
        check(unmeasured, End::Reset, None);
    }
}
