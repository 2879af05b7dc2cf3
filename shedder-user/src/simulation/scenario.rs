//! A checked scenario: who calls what, what goes wrong, and what must come of it.

use std::sync::Arc;
use std::time::Duration;

use shedder_common::time::Monotonic;

use crate::config::{Complaint, ConfigError, Node};
use crate::engine::{Place, Policy};

mod check;
mod expect;
mod fault;
mod file;
mod value;

pub(super) use self::expect::Expect;
pub(super) use self::fault::{Fault, Trouble};

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// As people know it.
    pub name: String,
    /// What it is about, in a sentence.
    pub summary: String,
    /// Where chance comes from unless told otherwise.
    pub seed: u64,
    /// How long it lasts.
    pub duration: Duration,
    /// The rules it was written for.
    pub policy: Arc<Policy>,
    pub(super) node: Node,
    pub(super) network: Network,
    pub(super) services: Vec<Service>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) callers: Vec<Caller>,
    /// What the callers call, in the order of the file.
    pub(super) flows: Vec<Flow>,
    /// One for each caller and endpoint that caller calls.
    pub(super) cells: Vec<Cell>,
    pub(super) faults: Vec<Fault>,
    pub(super) expect: Expect,
}

/// What lies between callers and endpoints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    /// There and back.
    pub(super) rtt: Duration,
    /// The share of round trips that are lost.
    pub(super) loss: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: String,
    /// Indexes into [`Scenario::endpoints`].
    pub(super) endpoints: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) name: String,
    /// The mean time it works on an answer.
    pub(super) response: Duration,
    /// Requests it works on at once; nothing for any number.
    pub(super) workers: Option<u32>,
}

#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    /// How calls are spread over time.
    pub(super) arrivals: Arrivals,
    /// Calls at once over all its services; nothing for any number.
    pub(super) concurrency: Option<u32>,
    pub(super) choose: Choose,
    /// How long it waits for each try.
    pub(super) timeout: Duration,
    /// A call that takes longer is no success.
    pub(super) slow_after: Duration,
    pub(super) retries: u32,
    pub(super) retry_after: Duration,
    /// Requests sent over one connection before it is closed.
    pub(super) turns: u32,
}

/// When calls begin.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    /// Calls a second from each moment on, in order of time; the first from the beginning.
    pub(super) rates: Vec<(Monotonic, f64)>,
    /// Evenly spaced instead of by chance.
    pub(super) evenly: bool,
    /// Single calls besides, in order of time.
    pub(super) calls: Vec<Monotonic>,
}

/// How a caller chooses among the endpoints of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choose {
    /// One after the other.
    RoundRobin,
    /// By chance.
    Random,
    /// Always the first, and the next one at once when that fails.
    First,
}

/// One caller calling one service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) caller: usize,
    pub(super) service: usize,
}

/// One breaker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) caller: usize,
    pub(super) endpoint: usize,
    pub(super) service: usize,
}

impl Scenario {
    /// Reads and checks `text`; complaints call it `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        check::scenario(name, text).map_err(|complaint: Complaint| complaint.locate(name, text))
    }

    pub(super) fn end(&self) -> Monotonic {
        Monotonic::default().plus(self.duration)
    }

    pub(super) fn caller(&self, flow: usize) -> &Caller {
        &self.callers[self.flows[flow].caller]
    }

    /// The cell of a caller and an endpoint it calls.
    pub(super) fn cell_of(&self, caller: usize, endpoint: usize) -> usize {
        self.cells
            .iter()
            .position(|cell| (cell.caller, cell.endpoint) == (caller, endpoint))
            .expect("a caller calls endpoints of its services only, which have cells")
    }

    pub(super) fn place(&self, cell: usize) -> Place {
        let Cell { caller, endpoint, service } = self.cells[cell];
        let number = |index: usize| u32::try_from(index).expect("a file has no four billion names");
        Place { caller: number(caller), service: number(service), endpoint: number(endpoint) }
    }

    /// Whether a fault concerns a cell.
    pub(super) fn affects(&self, fault: &Fault, cell: usize) -> bool {
        let Cell { caller, endpoint, .. } = self.cells[cell];
        fault.concerns(caller, endpoint)
    }
}
