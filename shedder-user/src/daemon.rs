//! The loop that joins the parts: sample, decide, publish, tell.
//!
//! One task owns kernel and engine, so nothing here is locked. Whatever wakes the loop (a tick, an
//! event of the kernel, an order, a signal) ends in the same place: `settle` publishes what the
//! engine decided before anyone is told about it.

mod attention;
mod calm;
mod cells;
mod confinement;
mod descriptors;
mod destinations;
mod discovery;
mod established;
mod explain;
mod fnv;
mod forgetting;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod glance;
mod guard;
mod handover;
mod histogram;
mod journal;
mod memory;
mod metrics;
mod names;
mod networks;
mod orders;
mod panics;
mod ports;
mod privileges;
mod publisher;
mod refusals;
mod reload;
mod report;
mod sampler;
mod schedule;
mod start;
mod supervisor;
mod taps;
mod telemetry;
mod turns;
mod unfinished;
mod untold;
mod watch;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shedder_common::event::Event as KernelEvent;
use shedder_common::time::Monotonic;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tracing::{info, warn};

use crate::api::{self, Control, Refused, SocketFile};
use crate::clock;
use crate::config::Config;
use crate::config::Source;
use crate::engine::{CellId, Engine, State};
use crate::kernel::{Kernel, SlotError};
use crate::stop::StopSignals;
use crate::telemetry::Exporter;
use crate::verdict_row::Siblings;
use crate::web;

pub use self::confinement::try_confinement;
#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzzing::run as fuzz_ring;
#[cfg(any(test, fuzzing))]
pub(crate) use self::journal::fuzz as fuzz_journal;
pub use self::privileges::require as require_privileges;
pub use self::start::{Plan, RunOptions, check};

use self::attention::{Attention, Rota};
use self::calm::Calm;
use self::cells::{Cells, Target};
use self::destinations::Destinations;
use self::established::Endings;
use self::guard::Guard;
use self::handover::Handover;
use self::journal::Journal;
use self::metrics::Metrics;
use self::names::{Names, Resolved};
use self::networks::Networks;
use self::panics::Panics;
use self::ports::Ports;
use self::refusals::Refusals;
use self::reload::{Occasion, Standing};
use self::schedule::{Schedule, Timer};
use self::supervisor::Supervisor;
use self::taps::Taps;
use self::telemetry::Telemetry;
use self::untold::Untold;
use self::watch::Watch;

/// The daemon, between start and stop.
#[derive(Debug)]
struct Daemon {
    source: Source,
    config: Arc<Config>,
    standing: Standing,
    watch: Watch,
    kernel: Kernel,
    engine: Engine,
    cells: Cells,
    attention: Attention,
    calm: Calm,
    /// Who has been asked last whether it may be forgotten.
    forgetting: Rota,
    /// Where connects that are redirected go.
    siblings: Siblings,
    guard: Guard,
    handover: Handover,
    endings: Endings,
    ports: Ports,
    untold: Untold,
    journal: Journal,
    metrics: Metrics,
    /// Of daemons before this one.
    panics: Panics,
    /// Where metrics and health are served.
    listen: Option<SocketAddr>,
    taps: Taps,
    /// What a collector is told, if there is one.
    telemetry: Option<Telemetry>,
    supervisor: Supervisor,
    /// Clients of the control socket that were turned away.
    refused: Arc<Refused>,
    refusals: Refusals,
    networks: Networks,
    destinations: Destinations,
    names: Names,
    /// Jiffies in a second; nothing when no policy holds connects.
    jiffies_per_second: Option<u32>,
    /// Until when the kernel has been told to heed the verdicts.
    verdicts_until: Monotonic,
    undecodable: u64,
    /// Why endpoints have no breaker, as told.
    no_breaker: BTreeSet<String>,
    started: Monotonic,
}

/// What is left of the events when some were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    Empty,
    MayHoldMore,
}

/// Runs the daemon until it is told to stop. `content` is what `source` held and says `config`.
pub async fn run(
    source: Source,
    content: Vec<u8>,
    config: Config,
    options: RunOptions,
) -> anyhow::Result<()> {
    privileges::require()?;
    privileges::drop_others();
    descriptors::make_room();
    confinement::begin_outpost();
    // Before anything is attached, so that from here on every way to be stopped detaches.
    let mut signals = Signals::new().context("signals cannot be caught")?;
    let node = config.node.clone();
    let socket = SocketFile::claim(&node.socket, node.socket_group.as_deref())?;
    let pages = match node.listen {
        Some(address) => Some(web::listen(address).await?),
        None => None,
    };
    let journal = Journal::open(&node, socket.group());
    let panics = panics::watch(node.state_dir.as_deref());
    let mut daemon = Daemon::start(source, content, config, options, journal)?;
    memory::give_back();
    daemon.listen = pages.as_ref().and_then(|listener| listener.local_addr().ok());
    let listener = socket.listen()?;
    // Of this thread alone: the others wait for disks and networks anyway.
    turns::ask_for_short();
    // Whoever can connect finds a daemon that may do no more than it has to.
    confinement::confine(&daemon);
    socket.appear()?;
    let (control, orders) = mpsc::channel(64);
    let exporter = node.otlp.clone().map(|otlp| Exporter::start(otlp, control.clone()));
    daemon.telemetry = exporter.as_ref().map(|exporter| Telemetry::new(exporter.spans()));
    daemon.tell_of(panics);
    let (stop_server, stopped) = oneshot::channel::<()>();
    let pages = pages.map(|listener| tokio::spawn(web::serve(listener, control.clone())));
    let refused = Arc::clone(&daemon.refused);
    let server = tokio::spawn(api::serve(listener, control, refused, async {
        // An error means the sender is gone, which is a stop as well.
        drop(stopped.await);
    }));
    if let Some(address) = daemon.listen.filter(|address| !address.ip().is_loopback()) {
        warn!(%address, "other machines may reach the pages, and whoever does reads what this node calls");
    }
    info!(
        socket = %node.socket.display(),
        cgroups = daemon.guard.len(),
        endpoints = daemon.cells.len(),
        listen = daemon.listen.map(tracing::field::display),
        "guarding"
    );
    supervisor::ready(daemon.guard.len(), daemon.cells.len());
    let outcome = daemon.serve(orders, &mut signals).await;
    supervisor::stopping();
    daemon.kernel.flush_logs();
    daemon.journal.stopping();
    daemon.end_episodes();
    daemon.hand_on_all();
    let last_words = exporter.map(|exporter| (exporter, daemon.points()));
    info!("stopping");
    if let Some(pages) = pages {
        pages.abort();
    }
    // The journal ends with the daemon, and with it the streams of those who follow it.
    drop(daemon);
    // A server that ended by itself has nothing left to stop.
    let _sent = stop_server.send(());
    // Everything is detached already, so that nobody's traffic waits for a collector.
    if let Some((exporter, points)) = last_words {
        exporter.finish(points).await;
    }
    if tokio::time::timeout(SERVER_GRACE, server).await.is_err() {
        warn!("a client kept its request open; leaving it");
    }
    drop(socket);
    outcome
}

impl Daemon {
    async fn serve(
        &mut self,
        mut orders: mpsc::Receiver<Control>,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let ring = self.kernel.event_wakeups().context("the event ring cannot be watched")?;
        let Signals { reload, stop } = signals;
        let mut timer = Timer::new().context("there is no timer")?;
        let mut schedule = Schedule::new(clock::now());
        loop {
            let due = schedule.next(self.engine.poll_timeout());
            tokio::select! {
                woken = timer.wait_until(due, self.between_looks()) => {
                    woken.context("the timer cannot be read")?;
                    self.act_by_itself(&mut schedule);
                }
                ready = ring.readable() => {
                    let mut ready = ready.context("the event ring cannot be watched")?;
                    if self.take_events() == Ring::Empty {
                        ready.clear_ready();
                    }
                    schedule.hurry(clock::now().plus(self.between_looks()));
                    // Clients and deadlines have their turn, however fast events come.
                    yield_now().await;
                }
                Some(control) = orders.recv() => {
                    self.catch_up();
                    self.answer(control);
                    schedule.hurry(clock::now().plus(self.between_looks()));
                }
                names = self.names.next() => self.take_names(names),
                _ = reload.recv() => {
                    // Whoever is to know is told by journal and log.
                    let _outcome = self.reload_now(Occasion::Signal);
                }
                () = stop.received() => return Ok(()),
            }
        }
    }

    /// Looks at the evidence, because it is time to or the engine has something to do: not that without a look,
    /// because what decides may have happened since the last. Does what else is due.
    fn act_by_itself(&mut self, schedule: &mut Schedule) {
        let node = &self.config.node;
        let (tick, rescan) = (node.tick, node.rescan);
        let due = schedule.take(clock::now(), tick, rescan);
        self.look();
        let rest = self.between_looks();
        if due.look {
            schedule.put_off(rest.saturating_sub(tick));
        } else {
            schedule.hurry(clock::now().plus(rest));
        }
        if due.rescan {
            self.rescan();
        }
        if let Some(content) = self.watch.take() {
            self.take_change(content);
        }
        if due.watch {
            self.watch.look();
        }
    }

    /// Shows the engine what happened since the last look.
    fn look(&mut self) {
        let now = clock::now();
        self.calm.begin();
        if self.calm.may_rest(now) {
            // Before anything is read: what comes behind the reading is told.
            self.kernel.ask_for_trouble();
        }
        self.attention.begin(&mut self.kernel);
        for word in self.attention.words() {
            for id in self.attention.cells(word) {
                self.look_at(id, now);
            }
        }
        self.taps.advance(now);
        self.kernel.flush_logs();
        self.settle(now);
        ports::advance(self, now);
        let is_any_pressing = self.attention.end(&self.cells);
        let goes_on = is_any_pressing || self.taps.is_any();
        let may_rest = !goes_on && self.calm.may_rest(now) && self.calm.is_settled(&self.engine);
        self.calm.end(may_rest);
        self.journal.look();
        if let Some(telemetry) = &mut self.telemetry {
            telemetry.look(&self.cells);
        }
        self.metrics.note_look(now, self.config.node.tick);
        self.supervisor.alive(now);
    }

    /// Shows the engine what happened to one cell.
    fn look_at(&mut self, id: CellId, now: Monotonic) {
        let Some(cell) = self.cells.by_id_mut(id) else { return };
        let Some(sample) = sampler::sample(&self.kernel, cell, now) else { return };
        let state = self.engine.state(id);
        self.metrics.see(cell, state, &sample);
        self.taps.see(&self.config, cell, &sample, now);
        self.calm.see(state, cell.policy.patience(), &sample, now);
        self.engine.observe(id, &sample, now);
        cell.failure_run = sample.failure_run;
        self.attention.wake(id);
        if state != Some(State::Closed) {
            // Probes and shares may have moved.
            self.handover.touch(id);
        }
    }

    /// Publishes what was decided, then tells about it.
    fn settle(&mut self, now: Monotonic) {
        self.engine.handle_timeout(now);
        let touched = self.engine.take_touched();
        publisher::publish(self, &touched, now);
        self.calm.touch(&self.engine, &touched);
        while let Some(transition) = self.engine.poll_transition() {
            self.handover.touch(transition.cell);
            self.calm.disturb(now);
            if let Some(cell) = self.cells.by_id_mut(transition.cell) {
                self.metrics.change(cell, &transition.change);
                let telemetry = self.telemetry.as_mut();
                let trace =
                    telemetry.and_then(|it| it.change(&self.config, cell, &transition.change));
                self.journal.transition(&self.config, cell, &transition, trace.as_deref());
                self.taps.change(&self.config, cell, &transition.change, now);
            }
        }
        while let Some(notice) = self.engine.poll_notice() {
            let cell = notice.cell().and_then(|id| self.cells.by_id(id));
            self.journal.notice(&self.config, cell, &notice);
        }
        self.hand_on();
        established::advance(self, &touched, now);
    }

    /// Takes what is in the ring, but no more than what leaves time for verdicts to be renewed.
    fn take_events(&mut self) -> Ring {
        let mut ring = Ring::MayHoldMore;
        let mut refused = Vec::new();
        for _ in 0..EVENTS_AT_ONCE {
            match self.kernel.poll_event() {
                Some(Ok(KernelEvent::FailureRun { slot, .. })) => {
                    if let Some(id) = self.cells.by_slot(slot).map(|cell| cell.id) {
                        self.look_at(id, clock::now());
                    }
                }
                Some(Ok(KernelEvent::Discovered { key, pid })) => self.discover(key, pid),
                Some(Ok(KernelEvent::Trouble)) => self.calm.disturb(clock::now()),
                Some(Ok(KernelEvent::Refused(record))) => refused.push(record),
                Some(Err(error)) => {
                    self.undecodable += 1;
                    warn!(%error, "skipped");
                }
                None => {
                    ring = Ring::Empty;
                    break;
                }
            }
        }
        self.settle(clock::now());
        // Now that the breaker of a burst has its reason.
        for record in refused {
            self.note_refusal(record);
        }
        ring
    }

    fn rescan(&mut self) {
        let now = clock::now();
        for change in self.guard.rescan(&mut self.kernel, &self.config, now) {
            self.journal.guard(&self.config, &change);
        }
        self.forget_unused(now);
        untold::advance(self, now);
        self.drop_left(now);
        self.listen_again(now);
    }

    /// Hears of new endpoints of callers again for whom there is room.
    fn listen_again(&mut self, now: Monotonic) {
        let Self { cells, guard, kernel, config, .. } = self;
        for caller in guard.quiet() {
            if kernel.free_slots(now) > 0 && cells.may_find(kernel, config, caller, now) {
                guard.set_quiet(kernel, config, caller, false);
            }
        }
    }

    fn take_names(&mut self, resolved: Resolved) {
        let Resolved { host, port, outcome } = resolved;
        match outcome {
            Ok(addresses) => {
                if self.names.remember(&host, port, &addresses) {
                    self.add_named();
                    self.settle(clock::now());
                }
            }
            Err(error) => {
                let text =
                    format!("{host} cannot be looked up: {error}; its endpoints stay as they are");
                self.journal.error(&text);
            }
        }
    }

    /// Adds a breaker for `target` and says so; an endpoint that has one stays as it is. What
    /// stands in the way is told once, because every further endpoint meets it again.
    fn add(&mut self, binding: usize, target: Target) {
        let endpoint = target.endpoint;
        let Self { cells, kernel, engine, config, .. } = self;
        match cells.add(kernel, engine, config, binding, target) {
            Ok(Some(cell)) => self.journal.discovered(&self.config, cell),
            Ok(None) => {}
            Err(failure) => {
                if matches!(failure, SlotError::Full(_) | SlotError::Shared(_)) {
                    let caller = config.bindings[binding].caller;
                    self.guard.set_quiet(kernel, config, caller, true);
                }
                let failure = failure.to_string();
                if !self.no_breaker.contains(&failure) {
                    self.journal.error(&format!("{endpoint} gets no breaker: {failure}"));
                    self.no_breaker.insert(failure);
                }
            }
        }
    }
}

/// The signals that mean something to the daemon.
#[derive(Debug)]
struct Signals {
    /// SIGHUP, also of a terminal that closes: the daemon outlives it.
    reload: Signal,
    stop: StopSignals,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { reload: signal(SignalKind::hangup())?, stop: StopSignals::of_service()? })
    }
}

/// Few enough that verdicts are renewed in between, even where each is a new endpoint.
const EVENTS_AT_ONCE: u32 = 256;
const SERVER_GRACE: Duration = Duration::from_secs(2);
