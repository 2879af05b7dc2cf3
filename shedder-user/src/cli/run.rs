//! `shedder run`: the daemon.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{Failure, advice};
use crate::config::Source;
use crate::daemon::{self, RunOptions};
use crate::printable::printable;

/// Guard the services of a policy file until told to stop.
///
/// Needs root, or `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON`. Attaches to the cgroups the policy file
/// names and to nothing else, follows them as they come and go, and detaches from all of them on
/// SIGTERM or Ctrl-C. Takes up changes of the policy file by itself, and on SIGHUP, which a terminal
/// that closes sends as well; see `shedder reload`. Logs go to standard error; `SHEDDER_LOG` sets their level, such as `debug`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Run {
    /// The policy file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Listen here instead of at the policy file's control socket
    #[arg(long, value_name = "PATH", env = "SHEDDER_SOCKET")]
    socket: Option<PathBuf>,
    /// Keep the journal here instead of where the policy file says
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Do everything but attach: check the file, find the cgroups, let the kernel verify the programs
    #[arg(long)]
    check_only: bool,
    /// Detach when stopping; `false` leaves the programs pinned, and their verdicts expire
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    detach_on_exit: bool,
    /// Run on a kernel that publishes no types, telling some failures apart by time alone
    #[arg(long)]
    without_btf: bool,
    /// Log every decision of the programs in the kernel; costs time on every connect
    #[arg(long)]
    debug_programs: bool,
    /// Log as JSON, one object a line
    #[arg(long)]
    log_json: bool,
}

impl Run {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let state_dir = self.state_dir.map(std::path::absolute).transpose();
        let state_dir = state_dir.context("--state-dir is no directory")?;
        let source = Source::new(&self.config, self.socket).with_state_dir(state_dir);
        let content = source.read().map_err(anyhow::Error::from)?;
        let config = source.parse(&content).map_err(anyhow::Error::from)?;
        let options = RunOptions {
            detach_on_exit: self.detach_on_exit,
            without_btf: self.without_btf,
            debug: self.debug_programs,
        };
        log(self.log_json, self.debug_programs);
        for warning in advice::warnings(&self.config, &config) {
            tracing::warn!("{warning}");
        }
        if self.check_only {
            report(&daemon::check(&config, options)?);
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Operation(error.into()))?;
        Ok(runtime.block_on(daemon::run(source, content, config, options))?)
    }
}

fn report(plan: &daemon::Plan) {
    println!("The kernel accepts every program.");
    for (path, caller) in &plan.cgroups {
        println!("would guard {} as {caller}", printable(path));
    }
    for pattern in &plan.unmatched {
        println!("would wait for a cgroup that matches {pattern}");
    }
    for degradation in &plan.degradations {
        println!("degraded: {degradation}");
    }
}

fn log(json: bool, debug: bool) {
    let default = if debug { "info,aya_log=debug,shedder_ebpf=debug" } else { "info" };
    let filter = EnvFilter::try_from_env("SHEDDER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        log.json().init();
    } else {
        log.with_target(false)
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init();
    }
}
