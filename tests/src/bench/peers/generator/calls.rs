//! The one thread of the generator: it makes the calls that are due and follows them to their end.
//!
//! Invariant: each call that became due ends exactly once, in an answer, an error or by its time limit.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use shedder_common::time::Monotonic;
use shedder_user::clock::now;

use super::connection::{Connection, Step};
use super::pace::Pace;
use super::told::{Call, Fate};
use super::{CONNECT_PATIENCE, Options, PATIENCE};
use crate::readiness::InputWatch;

/// Everything under way.
#[derive(Debug)]
pub(super) struct Calls {
    targets: Vec<SocketAddr>,
    attempts: u32,
    request: Vec<u8>,
    pace: Pace,
    watch: InputWatch,
    places: Vec<Place>,
    /// Places without a connection.
    free: Vec<usize>,
    /// Connections without a call, the longest idle first.
    idle: VecDeque<usize>,
    /// Connections that may be kept.
    pool: usize,
    /// Calls that wait for a connection of the pool.
    waiting: VecDeque<Monotonic>,
    /// When to look again at a place, in order, and at which use of it.
    limits: [VecDeque<Limit>; 2],
    under_way: usize,
    /// Whose turn it is.
    turn: usize,
    ended: Vec<Call>,
}

/// Where a connection is.
#[derive(Debug, Default)]
struct Place {
    connection: Option<Connection>,
    call: Option<UnderWay>,
    /// Counts the calls that were here, so that no time limit of one is taken for another's.
    use_number: u32,
}

/// A call that has not ended.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    due: Monotonic,
    attempts: u32,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    at: Monotonic,
    place: usize,
    use_number: u32,
}

impl Calls {
    /// None is made yet.
    pub(super) fn new(options: &Options, pace: Pace) -> Result<Self> {
        Ok(Self {
            targets: options.targets.clone(),
            attempts: options.attempts,
            request: format!("{}\n", options.request).into_bytes(),
            pace,
            watch: InputWatch::new().context("cannot watch connections")?,
            places: Vec::new(),
            free: Vec::new(),
            idle: VecDeque::new(),
            pool: options.pool,
            waiting: VecDeque::new(),
            limits: [VecDeque::new(), VecDeque::new()],
            under_way: 0,
            turn: 0,
            ended: Vec::new(),
        })
    }

    /// Makes them all and waits for the end of each.
    pub(super) fn make(mut self) -> Result<Vec<Call>> {
        self.fill_pool()?;
        let mut ready = Vec::new();
        while self.under_way > 0 || !self.pace.is_over(now()) {
            while let Some(due) = self.pace.next(now(), self.under_way).filter(|due| *due <= now())
            {
                self.pace.advance();
                self.under_way += 1;
                self.begin(due)?;
            }
            let timeout = self.next_event().map(|at| at.since(now()));
            self.watch.wait(timeout, &mut ready).context("cannot wait for connections")?;
            for number in &ready {
                self.changed(*number)?;
            }
            self.look_at_limits()?;
        }
        Ok(self.ended)
    }

    /// Connects before anything is due, as services do when they start.
    fn fill_pool(&mut self) -> Result<()> {
        for number in 0..self.pool {
            let target = number % self.targets.len();
            let connection = Connection::open(self.targets[target], target)?;
            let place = self.take_place(connection)?;
            self.idle.push_back(place);
        }
        Ok(())
    }

    fn next_event(&self) -> Option<Monotonic> {
        let limits = self.limits.iter().filter_map(|limits| limits.front()).map(|limit| limit.at);
        limits.chain(self.pace.next(now(), self.under_way)).min()
    }

    /// Gives a call a connection: one that is idle, or a new one where there may be more.
    fn begin(&mut self, due: Monotonic) -> Result<()> {
        while let Some(place) = self.idle.pop_front() {
            let is_quiet = self.places[place].connection.as_ref().is_some_and(Connection::is_quiet);
            if is_quiet {
                return self.use_idle(place, due);
            }
            self.empty(place);
        }
        if self.pool > 0 && self.places.len() - self.free.len() >= self.pool {
            self.waiting.push_back(due);
            return Ok(());
        }
        let target = self.turn % self.targets.len();
        self.turn += 1;
        self.try_target(UnderWay { due, attempts: 0 }, target)
    }

    fn use_idle(&mut self, place: usize, due: Monotonic) -> Result<()> {
        let it = &mut self.places[place];
        it.call = Some(UnderWay { due, attempts: 1 });
        it.use_number = it.use_number.wrapping_add(1);
        if let Some(connection) = &mut it.connection {
            connection.begin();
        }
        self.limit(place, PATIENCE, due);
        self.go_on(place)
    }

    /// Connects, and to the next target where that fails at once.
    fn try_target(&mut self, mut call: UnderWay, mut target: usize) -> Result<()> {
        loop {
            call.attempts += 1;
            match Connection::open(self.targets[target], target) {
                Ok(connection) => return self.place(call, connection),
                Err(error) if call.attempts >= self.attempts => {
                    let errno = error.raw_os_error().unwrap_or_default();
                    self.end(call, Fate::NotConnected(errno));
                    return self.serve_waiting();
                }
                Err(_refused) => target = (target + 1) % self.targets.len(),
            }
        }
    }

    fn take_place(&mut self, connection: Connection) -> Result<usize> {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        let number = u64::try_from(place)?;
        self.watch.add_for_changes(connection.socket(), number).context("cannot watch it")?;
        self.places[place].connection = Some(connection);
        Ok(place)
    }

    fn place(&mut self, call: UnderWay, connection: Connection) -> Result<()> {
        let place = self.take_place(connection)?;
        let it = &mut self.places[place];
        it.use_number = it.use_number.wrapping_add(1);
        it.call = Some(call);
        self.limit(place, PATIENCE, call.due);
        self.limit(place, CONNECT_PATIENCE, now());
        self.go_on(place)
    }

    /// The kernel has something to say about a place.
    fn changed(&mut self, number: u64) -> Result<()> {
        let place = usize::try_from(number)?;
        // A place that was given up in the meantime has another connection, or none; to go on with it
        // does no harm. An idle one is looked at before it is used.
        let has_call = self.places.get(place).is_some_and(|place| place.call.is_some());
        if has_call { self.go_on(place) } else { Ok(()) }
    }

    fn go_on(&mut self, place: usize) -> Result<()> {
        let it = &mut self.places[place];
        let (Some(connection), Some(call)) = (&mut it.connection, it.call) else { return Ok(()) };
        let target = connection.target;
        let fate = match connection.go_on(&self.request) {
            Step::Wait => return Ok(()),
            Step::NotConnected(errno) => {
                self.empty(place);
                return self.try_next(call, target, Fate::NotConnected(errno));
            }
            Step::Answered => Fate::Answered,
            Step::Lost(errno) => Fate::Lost(errno),
            Step::Ended => Fate::Ended,
        };
        self.finish(place, call, fate)
    }

    fn try_next(&mut self, call: UnderWay, target: usize, fate: Fate) -> Result<()> {
        if call.attempts < self.attempts {
            return self.try_target(call, (target + 1) % self.targets.len());
        }
        self.end(call, fate);
        self.serve_waiting()
    }

    fn finish(&mut self, place: usize, call: UnderWay, fate: Fate) -> Result<()> {
        self.end(call, fate);
        if self.pool > 0 && fate == Fate::Answered {
            self.places[place].call = None;
            self.idle.push_back(place);
        } else {
            self.empty(place);
        }
        self.serve_waiting()
    }

    fn serve_waiting(&mut self) -> Result<()> {
        match self.waiting.pop_front() {
            Some(due) => self.begin(due),
            None => Ok(()),
        }
    }

    fn end(&mut self, call: UnderWay, fate: Fate) {
        let took = now().since(call.due);
        let due = call.due.since(self.pace.start());
        self.under_way -= 1;
        self.ended.push(Call {
            due_us: u64::try_from(due.as_micros()).unwrap_or(u64::MAX),
            took_ns: shedder_common::time::nanos(took),
            fate,
            attempts: call.attempts,
        });
    }

    /// Closes what is there.
    fn empty(&mut self, place: usize) {
        self.places[place].connection = None;
        self.places[place].call = None;
        self.free.push(place);
    }

    fn limit(&mut self, place: usize, patience: Duration, since: Monotonic) {
        let limit =
            Limit { at: since.plus(patience), place, use_number: self.places[place].use_number };
        self.limits[usize::from(patience == CONNECT_PATIENCE)].push_back(limit);
    }

    fn look_at_limits(&mut self) -> Result<()> {
        for (kind, is_connecting) in [(0, false), (1, true)] {
            while let Some(limit) = self.limits[kind].front().copied().filter(|it| it.at <= now()) {
                self.limits[kind].pop_front();
                self.run_out(limit, is_connecting)?;
            }
        }
        Ok(())
    }

    fn run_out(&mut self, limit: Limit, is_connecting: bool) -> Result<()> {
        let it = &self.places[limit.place];
        let (Some(call), Some(connection)) = (it.call, &it.connection) else { return Ok(()) };
        if it.use_number != limit.use_number || is_connecting && connection.is_connected() {
            return Ok(());
        }
        let target = connection.target;
        self.empty(limit.place);
        if is_connecting {
            return self.try_next(call, target, Fate::ConnectTimeout);
        }
        self.end(call, Fate::Timeout);
        self.serve_waiting()
    }
}
