//! From a configuration to a running daemon: everything that can be refused is refused before the
//! first program is attached, and an error leaves nothing behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tracing::warn;

use super::attention::{Attention, Rota};
use super::calm::Calm;
use super::cells::Cells;
use super::destinations::Destinations;
use super::established::Endings;
use super::guard::Guard;
use super::handover::Handover;
use super::journal::Journal;
use super::metrics::Metrics;
use super::names::Names;
use super::networks::Networks;
use super::panics::Panics;
use super::ports::Ports;
use super::refusals::Refusals;
use super::reload::Standing;
use super::supervisor::Supervisor;
use super::taps::Taps;
use super::untold::Untold;
use super::watch::Watch;
use super::{Daemon, established, privileges};
use crate::clock;
use crate::config::{Config, Source};
use crate::engine::{Engine, ShedAction};
use crate::kernel::{Cgroup2, Kernel, Left, LoadOptions, PinError, Pins, drop_dead_claims};
use crate::verdict_row::Siblings;

/// How to run, apart from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Detach everything when stopping; otherwise links stay pinned.
    pub detach_on_exit: bool,
    /// Run although the kernel publishes no types, and tell some failures apart by time alone.
    pub without_btf: bool,
    /// Log every decision of the programs.
    pub debug: bool,
}

/// What a daemon would guard, as `--check-only` reports it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Cgroups that would be guarded, with their callers.
    pub cgroups: Vec<(String, String)>,
    /// Patterns that match nothing yet.
    pub unmatched: Vec<String>,
    /// What this kernel lacks.
    pub degradations: Vec<String>,
}

/// Does everything but attaching: finds cgroups and lets the kernel verify the programs.
pub fn check(config: &Config, options: RunOptions) -> anyhow::Result<Plan> {
    privileges::require()?;
    let cgroup2 = Cgroup2::find()?;
    let plan = Guard::plan(&cgroup2, config, None)?;
    let kernel = load(config, options)?;
    let degradations = kernel.features().degradations();
    Ok(Plan {
        cgroups: plan
            .wanted
            .iter()
            .map(|(path, caller)| (path.clone(), config.callers[*caller].name.clone()))
            .collect(),
        unmatched: plan.unmatched,
        degradations: degradations.iter().map(ToString::to_string).collect(),
    })
}

impl Daemon {
    /// Loads, fills in the endpoints that are known, attaches.
    pub(super) fn start(
        source: Source,
        content: Vec<u8>,
        config: Config,
        options: RunOptions,
        journal: Journal,
    ) -> anyhow::Result<Self> {
        let started = clock::now();
        let cgroup2 = Cgroup2::find()?;
        // Before anything is loaded, because this is where most configurations are wrong.
        let plan = Guard::plan(&cgroup2, &config, None)?;
        drop_dead_claims();
        let pin_dir = &config.node.pin_dir;
        let (mut kernel, left, pins) = if options.detach_on_exit {
            let left_behind = clear(pin_dir)?;
            if left_behind > 0 {
                warn!(links = left_behind, "removed what an earlier daemon left attached");
            }
            (load(&config, options)?, Left::Nothing, None)
        } else {
            let pins = Pins::prepare(pin_dir)?;
            let options = load_options(&config, options);
            let (kernel, left) = Kernel::load_pinned(&options, &pins, started)?;
            (kernel, left, Some(pins))
        };
        require_btf(&kernel, options)?;
        for degradation in kernel.features().degradations() {
            warn!("{degradation}");
        }
        let jiffies_per_second = jiffies(&config, &mut kernel)?;
        // An earlier daemon may have allowed them.
        let most = jiffies_per_second.map_or(0, |_| config.node.max_held);
        kernel.allow_holds(most, jiffies_per_second.unwrap_or(0));
        let has_left = matches!(left, Left::Taken);
        let handover = Handover::new(pins.is_some(), has_left, started);
        let mut names = Names::new();
        names.follow(&config);
        let mut daemon = Self {
            engine: Engine::new(started.as_nanos(), config.node.rules.clone()),
            cells: Cells::default(),
            attention: Attention::default(),
            calm: Calm::default(),
            forgetting: Rota::default(),
            siblings: Siblings::default(),
            guard: Guard::new(cgroup2, pins),
            handover,
            endings: Endings::default(),
            ports: Ports::default(),
            untold: Untold::new(started),
            journal,
            metrics: Metrics::new(&config, started),
            panics: Panics::default(),
            listen: None,
            telemetry: None,
            jiffies_per_second,
            verdicts_until: clock::now(),
            networks: Networks::default(),
            destinations: Destinations::of(&config, &names),
            names,
            taps: Taps::default(),
            supervisor: Supervisor::find(),
            refused: Arc::default(),
            refusals: Refusals::default(),
            undecodable: 0,
            no_breaker: BTreeSet::new(),
            started,
            kernel,
            watch: Watch::new(&source, &content, config.node.watch),
            standing: Standing::new(content, started),
            source,
            config: Arc::new(config),
        };
        daemon.journal.started();
        established::prepare(&mut daemon);
        daemon.add_destinations()?;
        daemon.take_left(started);
        daemon.kernel.drop_left_destinations()?;
        daemon.tell_of_earlier(&left);
        daemon.settle(clock::now());
        let attached = daemon.guard.attach_all(&mut daemon.kernel, &daemon.config, plan.wanted);
        let changes = attached.inspect_err(|error| daemon.journal.refused(&error.to_string()))?;
        for change in &changes {
            daemon.journal.guard(&daemon.config, change);
        }
        let others = daemon.guard.drop_left()?;
        if others > 0 {
            warn!(cgroups = others, "detached from cgroups that an earlier daemon had guarded");
        }
        for pattern in plan.unmatched {
            warn!(%pattern, "matches no cgroup yet; waiting for one");
        }
        Ok(daemon)
    }
}

fn load(config: &Config, options: RunOptions) -> anyhow::Result<Kernel> {
    let kernel = Kernel::load(&load_options(config, options))?;
    require_btf(&kernel, options)?;
    Ok(kernel)
}

fn load_options(config: &Config, options: RunOptions) -> LoadOptions {
    LoadOptions {
        slots: config.node.max_endpoints,
        round_trips: config.bindings.iter().any(|binding| binding.policy.needs_round_trips()),
        debug: options.debug,
    }
}

fn require_btf(kernel: &Kernel, options: RunOptions) -> anyhow::Result<()> {
    match &kernel.features().sk_err_offset {
        Err(error) if !options.without_btf => bail!(
            "{error}; without it a refusal and a caller that gives up can look alike; accept that with --without-btf"
        ),
        _ => Ok(()),
    }
}

/// Removes what an earlier daemon has left; what belongs to one that lives stays.
fn clear(pin_dir: &Path) -> Result<usize, PinError> {
    match Pins::clear(pin_dir) {
        Err(PinError::InUse(_)) => Ok(0),
        other => other,
    }
}

/// The length of a jiffy, if a policy holds connects.
pub(super) fn jiffies(config: &Config, kernel: &mut Kernel) -> anyhow::Result<Option<u32>> {
    let delaying =
        config.bindings.iter().find(|binding| matches!(binding.policy.shed, ShedAction::Delay(_)));
    let Some(binding) = delaying else { return Ok(None) };
    let per_second = kernel.jiffies_per_second().with_context(|| {
        format!(
            "policy {} delays connects, but this kernel's timer frequency cannot be measured; use action = \"deny\"",
            binding.policy.name
        )
    })?;
    Ok(Some(per_second))
}
