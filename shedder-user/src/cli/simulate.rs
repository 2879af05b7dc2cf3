//! `shedder simulate`: what a policy would do.

use std::fs;
use std::io::{IsTerminal as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::Failure;
use super::output::{Colour, Paint, Table, dash, time};
use super::playing::Playing;
use crate::clock;
use crate::config::{Config, Preset};
use crate::engine::{Mode, Policy};
use crate::simulation::{Bound, FaultReport, PolicyReport, Report, Scenario, Simulation, picture};

/// Play a scenario of callers and faults against policies, in virtual time.
///
/// The engine, its verdicts and the decision about each connect are those of `shedder run`; callers,
/// endpoints, network and clock are a model. Ten minutes at a hundred calls a second take a moment, and
/// the same scenario, policy and seed always give the same report. Needs no privileges.
///
/// A scenario file says who calls what how often, what goes wrong and when, and, under `[policy]`,
/// the rules it was written for. With `--policy` it is played under others instead, side by side:
/// presets by name (see `shedder presets`), or policy files, of which the first policy is taken. They
/// enforce, whatever mode they say.
///
/// FIRST SHED and DETECTED count from the start of a fault. LEAKED are tries let through to an
/// endpoint at fault that failed or were slow, until the first shed one and after it. FALSE are tries
/// shed though the endpoint would have served them: the model knows. FLAPS are trips beyond one for
/// each fault. 99.2 % and ADMITTED count from the end of a fault until calls succeed again and until
/// everything is let through.
///
/// Under its own policy a scenario's `[expect]` bounds are checked; a broken one fails the command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Simulate {
    /// The scenario file; `scenarios/` holds some, `docs/simulation.md` explains them
    scenario: PathBuf,
    #[command(flatten)]
    playing: Playing,
    /// Draw chance from this number instead of the scenario's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

impl Simulate {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let name = self.scenario.display().to_string();
        let text =
            fs::read_to_string(&self.scenario).with_context(|| format!("{name} cannot be read"))?;
        let scenario = Scenario::parse(&name, &text).map_err(anyhow::Error::from)?;
        let seed = self.seed.unwrap_or(scenario.seed);
        let is_own = self.playing.policy.is_empty();
        let policies = if is_own {
            vec![Arc::clone(&scenario.policy)]
        } else {
            self.playing.policy.iter().map(|name| policy(name)).collect::<Result<_, _>>()?
        };
        let report = Report {
            scenario: scenario.name.clone(),
            summary: scenario.summary.clone(),
            seed,
            duration_ms: u64::try_from(scenario.duration.as_millis()).unwrap_or(u64::MAX),
            policies: policies.into_iter().map(|policy| play(&scenario, policy, seed)).collect(),
        };
        if let Some(file) = &self.playing.svg {
            fs::write(file, picture(&scenario, &report))
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        let own = report.policies.first().filter(|_| is_own);
        let bounds = own.map_or_else(Vec::new, |policy| policy.bounds(&scenario));
        if self.playing.json {
            println!("{}", serde_json::to_string(&report).map_err(anyhow::Error::from)?);
        } else {
            self.print(&scenario, &report, &bounds);
        }
        let broken = bounds.iter().filter(|bound| !bound.is_kept).count();
        if broken == 0 {
            return Ok(());
        }
        Err(anyhow!("{broken} of the {} bounds of {name} are broken", bounds.len()).into())
    }

    fn print(&self, scenario: &Scenario, report: &Report, bounds: &[Bound]) {
        let paint = Paint::stdout();
        let lasts = humantime::format_duration(scenario.duration);
        println!("{}: {} ({lasts}, seed {})", report.scenario, report.summary, report.seed);
        println!();
        print!("{}", table(report, paint));
        if self.playing.transitions {
            for policy in &report.policies {
                println!();
                println!("{}", paint.apply(Colour::Bold, &policy.policy));
                print_transitions(policy);
            }
        }
        if !bounds.is_empty() {
            println!();
            print!("{}", bounds_table(bounds, paint));
        }
    }
}

/// The preset or the first policy of the file called `name`, enforcing.
fn policy(name: &str) -> Result<Arc<Policy>, anyhow::Error> {
    let policy = if let Some(preset) = Preset::find(name) {
        preset.policy()
    } else if Path::new(name).exists() {
        let config = Config::load(Path::new(name))?;
        let first = config.bindings.first().context("the file has no policy")?;
        Policy::clone(&first.policy)
    } else {
        let known = Preset::known(name);
        return Err(anyhow!("{name:?} is neither a file nor a preset; there are {known}"));
    };
    Ok(Arc::new(Policy { mode: Mode::Enforce, ..policy }))
}

/// Plays to the end, and says how far it is when that takes long.
fn play(scenario: &Scenario, policy: Arc<Policy>, seed: u64) -> PolicyReport {
    let name = policy.name.clone();
    let mut simulation = Simulation::new(scenario, policy, seed);
    let (begun, shows) = (clock::now(), stderr().is_terminal());
    let mut told = false;
    for part in 1..=STEPS {
        let is_over = simulation.play(scenario.duration * part / STEPS);
        if !is_over && shows && clock::now().since(begun) > PATIENCE {
            eprint!("\r{name}: {} %", part * 100 / STEPS);
            told = true;
        }
    }
    if told {
        eprintln!("\r{name}: done ");
    }
    simulation.report()
}

fn table(report: &Report, paint: Paint) -> String {
    let mut table = Table::new(&[
        "POLICY",
        "FAULT",
        "FIRST SHED",
        "DETECTED",
        "LEAKED",
        "SHED",
        "FALSE",
        "OPENS",
        "FLAPS",
        "BEFORE",
        "DURING",
        "AFTER",
        "99.2 %",
        "ADMITTED",
    ]);
    for policy in &report.policies {
        let mut faults = policy.faults.iter();
        table.push(row(policy, faults.next(), true));
        for fault in faults {
            table.push(row(policy, Some(fault), false));
        }
    }
    table.render(paint, |_, _| None)
}

/// What concerns the policy as a whole stands in its first row.
fn row(policy: &PolicyReport, fault: Option<&FaultReport>, is_first: bool) -> Vec<String> {
    let whole = |text: String| if is_first { text } else { String::new() };
    let of_fault = |text: fn(&FaultReport) -> String| fault.map_or_else(dash, text);
    let success = &policy.success;
    vec![
        whole(policy.policy.clone()),
        of_fault(|fault| fault.fault.clone()),
        of_fault(|fault| time(fault.first_shed_ms)),
        of_fault(|fault| {
            fault
                .detected_by
                .as_ref()
                .map_or_else(dash, |by| format!("{} {by}", time(fault.detected_ms)))
        }),
        of_fault(|fault| format!("{}+{}", fault.leaked_before_shed, fault.leaked_after_shed)),
        whole(policy.shed.to_string()),
        whole(policy.false_refusals.to_string()),
        whole(format!("{}+{}", policy.opens, policy.throttles)),
        whole(policy.flaps.to_string()),
        whole(percent(success.before)),
        whole(percent(success.during)),
        whole(percent(success.after)),
        of_fault(|fault| time(fault.recovered_ms)),
        of_fault(|fault| time(fault.admitted_ms)),
    ]
}

fn bounds_table(bounds: &[Bound], paint: Paint) -> String {
    let mut table = Table::new(&["EXPECTED", "BOUND", "MEASURED", ""]);
    for bound in bounds {
        let verdict = if bound.is_kept { KEPT } else { BROKEN };
        let Bound { name, measured, bound, .. } = bound;
        table.push(vec![name.clone(), bound.clone(), measured.clone(), verdict.to_owned()]);
    }
    table.render(paint, |column, cell| match (column, cell) {
        (3, KEPT) => Some(Colour::Green),
        (3, _) => Some(Colour::Red),
        _ => None,
    })
}

fn print_transitions(policy: &PolicyReport) {
    for change in &policy.transitions {
        let at = time(Some(change.at_ms));
        println!("{at:>9}  {}/{}: {}", change.caller, change.endpoint, change.why);
    }
    for (at, notice) in &policy.notices {
        println!("{:>9}  {notice}", time(Some(*at)));
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(dash, |share| format!("{:.2}%", share * 100.0))
}

const STEPS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(2);
const KEPT: &str = "kept";
const BROKEN: &str = "BROKEN";
const EXAMPLES: &str = "Examples:
  shedder simulate scenarios/ch-02-delay.toml
  shedder simulate scenarios/ch-02-delay.toml --policy default --policy contract-200 --svg delay.svg
  shedder simulate scenarios/ch-03-partition.toml --policy config/shedder.toml --transitions";
