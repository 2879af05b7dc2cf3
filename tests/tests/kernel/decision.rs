//! The loaded programs are held to the vectors of the decision, by real connects.

use std::net::SocketAddr;
use std::time::Duration;

use shedder_common::caller::CallerRow;
use shedder_common::counters::SlotCounters;
use shedder_common::decision::vectors::{HOLD, SIBLING, VECTORS, Vector, counted};
use shedder_common::decision::{Decision, Shed};
use shedder_common::endpoint::{EndpointKey, SlotRef};
use shedder_common::errno::Errno;
use shedder_common::time::Monotonic;
use shedder_common::verdict::{Action, Verdict, VerdictWord};
use shedder_tests::backend::{Backend, Behaviour};
use shedder_tests::caller::{Attempt, Caller, ConnectOptions};
use shedder_user::clock::now;
use shedder_user::kernel::{Attachment, Kernel, LoadOptions, Needs};

use crate::scene::{attach, backend, caller, wait_for};

/// The programs without a daemon, and a caller they decide for.
struct Scene {
    kernel: Kernel,
    attachment: Attachment,
    caller: Caller,
    sibling: SocketAddr,
    /// The timer of a hold.
    hold_jiffies: u32,
}

#[test]
fn the_programs_decide_as_the_vectors_say() {
    let (caller, cgroup) = caller("vectors");
    let options = LoadOptions { slots: 512, round_trips: false, debug: false };
    let mut kernel = Kernel::load(&options).expect("root may load them");
    let attachment = attach(&mut kernel, &cgroup, of_cohort(0), NEEDS);
    let per_second = kernel.jiffies_per_second().expect("it can be measured");
    kernel.allow_holds(64, per_second);
    // Redirects name a slot, and those are given out in their order.
    let siblings: Vec<Backend> = (0..=SIBLING).map(|_| backend(Behaviour::Healthy)).collect();
    for (index, sibling) in (0..).zip(&siblings) {
        let slot =
            kernel.add_slot(EndpointKey::new(CALLER, sibling.addr()), now()).expect("one is free");
        assert_eq!(slot.slot, index);
    }
    let sibling = siblings.last().expect("there are some").addr();
    let hold_jiffies = u32::from(HOLD) * per_second / 1000;
    let mut scene = Scene { kernel, attachment, caller, sibling, hold_jiffies };

    for vector in VECTORS {
        scene.hold_to(vector);
    }
    let node = scene.kernel.node_counters();
    assert_eq!((node.redirects_failed, node.holds_failed, node.holds_over), (0, 0, 0));
}

/// The caller in a cgroup of this cohort.
const fn of_cohort(cohort: u16) -> CallerRow {
    CallerRow { id: CALLER, asks: 0, cohort }
}

impl Scene {
    fn hold_to(&mut self, vector: &Vector) {
        let backend = backend(Behaviour::Healthy);
        let key = EndpointKey::new(CALLER, backend.addr());
        let slot = self.kernel.add_slot(key, now()).expect("one is free");
        self.prepare(vector, slot, &backend);
        let before = self.kernel.counters(slot);
        let state = (before.failure_run, before.tokens_taken, before.turns);
        let wanted = (vector.failure_run, vector.tokens_taken, vector.turns);
        assert_eq!(state, wanted, "{}: before", vector.name);

        self.kernel
            .adapt(&mut self.attachment, of_cohort(vector.cohort), NEEDS, None)
            .expect("root may");
        let verdict = Verdict {
            word: vector.word,
            token_limit: vector.token_limit,
            burst_limit: vector.burst_limit,
            ..self.row(slot)
        };
        self.publish(slot, &verdict, vector.is_in_force);
        for (number, decision) in vector.decisions().enumerate() {
            let attempt = self.connect(backend.addr());
            let is_as_said = self.shows(decision, &attempt, backend.addr());
            assert!(is_as_said, "{}, connect {number}: {decision:?} {attempt:?}", vector.name);
        }
        let after = self.kernel.counters(slot);
        assert_eq!(growth(&before, &after), counted(&vector.counts), "{}", vector.name);
    }

    /// Gives the slot its past, by connects that have one.
    fn prepare(&mut self, vector: &Vector, slot: SlotRef, backend: &Backend) {
        let deny = VerdictWord {
            action: Action::Deny(Errno::ConnectionRefused),
            enforce_percent: 100,
            ..VerdictWord::allow(0)
        };
        let tokens = VerdictWord { half_open: true, ..deny }.pack();
        let turns = VerdictWord { admit_permille: 1000, ..deny }.pack();
        let token_limit = vector.tokens_taken;
        for (word, connects) in [(tokens, vector.tokens_taken), (turns, vector.turns)] {
            self.publish(slot, &Verdict { word, token_limit, ..self.row(slot) }, true);
            for _ in 0..connects {
                assert!(self.connect(backend.addr()).connected(), "{}: before", vector.name);
            }
        }
        if vector.failure_run == 0 {
            return;
        }
        self.publish(slot, &self.row(slot), true);
        backend.set(Behaviour::Refuse).expect("it can");
        for _ in 0..vector.failure_run {
            assert!(!self.connect(backend.addr()).connected(), "{}: before", vector.name);
        }
        wait_for("the failures in a row", || {
            self.kernel.counters(slot).failure_run == vector.failure_run
        });
        backend.set(Behaviour::Healthy).expect("it can");
    }

    /// Whether this is what an application sees of a decision.
    fn shows(&self, decision: Decision, attempt: &Attempt, endpoint: SocketAddr) -> bool {
        let connected_to = |peer| attempt.connected() && attempt.peer == Some(peer);
        match decision {
            Decision::Allow
            | Decision::AllowExpired
            | Decision::Probe
            | Decision::Observe(Shed::Deny(_) | Shed::Delay(_) | Shed::Redirect(_)) => {
                connected_to(endpoint)
            }
            Decision::Shed(Shed::Deny(errno)) => {
                attempt.returned.is_some_and(|returned| returned.code == i32::from(errno))
            }
            Decision::Shed(Shed::Delay(milliseconds)) => {
                // The timer may fire early, and is allowed to by half.
                let least_us = u64::from(milliseconds) * 500;
                connected_to(endpoint) && attempt.connect_us >= least_us
            }
            Decision::Shed(Shed::Redirect(_)) => connected_to(self.sibling),
        }
    }

    fn publish(&mut self, slot: SlotRef, verdict: &Verdict, is_in_force: bool) {
        let until = if is_in_force { now().plus(Duration::from_hours(1)) } else { past() };
        self.kernel.keep_verdicts_until(until);
        self.kernel.publish(slot, verdict);
    }

    /// A row that lets everything through.
    fn row(&self, slot: SlotRef) -> Verdict {
        Verdict {
            generation: slot.generation,
            hold_jiffies: self.hold_jiffies,
            hold_slack_ns: u32::from(HOLD) * 500_000,
            ..Verdict::CLEAR
        }
    }

    fn connect(&mut self, endpoint: SocketAddr) -> Attempt {
        // By a reset, so that no port stays taken.
        let options = ConnectOptions { linger0: true, ..ConnectOptions::default() };
        self.caller.connect(endpoint, &options).expect("the caller lives")
    }
}

/// By how much each counter has grown.
fn growth(before: &SlotCounters, after: &SlotCounters) -> [(&'static str, u64); 11] {
    let mut growth = counted(after);
    for ((_, count), (_, before)) in growth.iter_mut().zip(counted(before)) {
        *count -= before;
    }
    growth
}

/// No verdict is renewed any more.
const fn past() -> Monotonic {
    Monotonic::from_nanos(1)
}

const CALLER: u32 = 1;
const NEEDS: Needs = Needs { packets: true, peer_names: false, datagrams: false };
