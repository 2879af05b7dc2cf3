//! The faults.
//!
//! Invariant: data only; every fault ends early enough for its end to be seen.

use std::time::Duration;

use crate::backend::Behaviour::{
    self, Blackhole, Flaky, Hang, Healthy, OneByOne, Refuse, ResetAfterAccept, Slow, SlowAndFlaky,
};

/// One fault, and how it is called meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// For the command line.
    pub(super) id: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// Backends there are.
    pub(super) backends: u8,
    /// Of these, how many fall ill.
    pub(super) ill: u8,
    /// Calls a second.
    pub(super) rate: f64,
    /// Connections that are kept; 0 makes one for each call.
    pub(super) pool: usize,
    /// What those who fall ill do, from which second on.
    pub(super) script: &'static [(f64, Behaviour)],
    /// A second caller sends requests that break their connections, while the script says that something
    /// is wrong; what is counted are the calls of the first.
    pub(super) is_poisoned: bool,
    /// From which second on something is wrong, and until when.
    pub(super) fault: (f64, f64),
    /// For how long calls become due, in seconds.
    pub(super) seconds: f64,
    /// Without a bad call for so long, in seconds, the fault is taken to be shed.
    pub(super) calm: f64,
    /// Why shedder is not ahead, where it is not.
    pub(super) remark: &'static str,
}

/// Further lines of shedder's policy, the same in all rows but that of the pool.
pub(super) fn policy_rules(row: &Row) -> &'static str {
    if row.pool > 0 { "open.established = \"reset\"\n" } else { "" }
}

/// What most have in common.
const USUAL: Row = Row {
    id: "",
    title: "",
    backends: 5,
    ill: 1,
    rate: 100.0,
    pool: 0,
    script: &[],
    is_poisoned: false,
    fault: (3.0, 15.0),
    seconds: 36.0,
    calm: 0.5,
    remark: "",
};

/// All of them, in the order of the table.
pub(super) const ROWS: [Row; 14] = [
    Row {
        id: "refuse",
        title: "one of 5 refuses",
        script: &[(3.0, Refuse), (15.0, Healthy)],
        remark: "A backend that ends resets the call that is under way at that moment, and whether there is one is chance: \
                 of the calls after it none fails, neither with shedder nor with those that try another backend.",
        ..USUAL
    },
    Row {
        id: "black-hole",
        title: "one of 5 swallows SYNs",
        script: &[(3.0, Blackhole), (15.0, Healthy)],
        remark: "Shedder sheds sooner, and then finds out with calls of its callers whether the backend is back: of each \
                 two probes two wait for a second. The checks that HAProxy makes once a second are its own, nobody waits for them.",
        ..USUAL
    },
    Row {
        id: "slow",
        title: "one of 5 answers after 1 s",
        script: &[(3.0, Slow(Duration::from_secs(1))), (15.0, Healthy)],
        ..USUAL
    },
    Row {
        id: "slow-and-failing",
        title: "one of 5 takes 2 s, and 40 % fail",
        script: &[
            (3.0, SlowAndFlaky { delay: Duration::from_secs(2), permille: 400 }),
            (15.0, Healthy),
        ],
        ..USUAL
    },
    Row {
        id: "reset",
        title: "one of 5 accepts, then resets",
        script: &[(3.0, ResetAfterAccept), (15.0, Healthy)],
        ..USUAL
    },
    Row {
        id: "hang",
        title: "one of 5 never answers",
        script: &[(3.0, Hang), (15.0, Healthy)],
        ..USUAL
    },
    Row {
        id: "gray",
        title: "one of 5 fails 10 %",
        script: &[(3.0, Flaky { permille: 100 }), (15.0, Healthy)],
        calm: 2.0,
        ..USUAL
    },
    Row {
        id: "flapping",
        title: "one of 5 resets, 3 s on and 3 s off",
        script: &[
            (3.0, ResetAfterAccept),
            (6.0, Healthy),
            (9.0, ResetAfterAccept),
            (12.0, Healthy),
            (15.0, ResetAfterAccept),
            (18.0, Healthy),
        ],
        fault: (3.0, 18.0),
        seconds: 40.0,
        ..USUAL
    },
    Row {
        id: "two-dead",
        title: "two of 5 are gone (no answer to SYNs)",
        ill: 2,
        script: &[(3.0, Blackhole), (15.0, Healthy)],
        remark: "As with one black hole: the probes are calls of the callers.",
        ..USUAL
    },
    Row {
        id: "cold",
        title: "one of 5 refuses, then comes back cold: 5, 7, 10, 20 calls a second",
        script: &[
            (3.0, Refuse),
            (10.0, OneByOne(Duration::from_millis(200))),
            (12.0, OneByOne(Duration::from_millis(143))),
            (14.0, OneByOne(Duration::from_millis(100))),
            (16.0, OneByOne(Duration::from_millis(50))),
            (18.0, Healthy),
        ],
        fault: (3.0, 18.0),
        seconds: 40.0,
        ..USUAL
    },
    Row {
        id: "all-dead",
        title: "all 5 refuse",
        ill: 5,
        script: &[(3.0, Refuse), (15.0, Healthy)],
        remark: "While every backend refuses no guard can answer a call. What can be got wrong is the time after it, and \
                 there shedder and Envoy lose none.",
        ..USUAL
    },
    Row {
        id: "own-fault",
        title: "another caller's own requests break its connections",
        ill: 0,
        is_poisoned: true,
        remark: "None of them takes one caller's fault for that of the backends.",
        ..USUAL
    },
    Row {
        id: "low-traffic",
        title: "1 call a second, one of 2 accepts, then resets",
        backends: 2,
        rate: 1.0,
        script: &[(3.0, ResetAfterAccept), (43.0, Healthy)],
        fault: (3.0, 43.0),
        seconds: 70.0,
        calm: 6.0,
        ..USUAL
    },
    Row {
        id: "pool",
        title: "20 kept connections, one of 5 answers after 1 s",
        pool: 20,
        script: &[(3.0, Slow(Duration::from_secs(1))), (15.0, Healthy)],
        ..USUAL
    },
];
