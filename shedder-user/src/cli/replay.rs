//! `shedder replay`: what policies would have done about what was recorded.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use clap::Args;
use humantime::{format_duration, format_rfc3339_seconds};

use super::Failure;
use super::output::{Paint, Table, dash, time};
use super::playing::Playing;
use crate::config::{Config, Preset};
use crate::recording::Reader;
use crate::replay::{self, PolicyReport, Report, Terms, picture};

/// Play a recording to policies and tell what each would have done
///
/// `shedder record` makes recordings. The engine is that of `shedder run`; it is shown what was recorded,
/// less what the policy would have refused. Policies are presets by name (see `shedder presets`), which then
/// hold for everything recorded, or policy files, whose policies are found by the names of caller and service.
/// All enforce, whatever mode they say. Without one it tells what is in the recording. Needs no privileges.
///
/// REFUSED are connects that would have been refused, held or sent elsewhere; GOOD those of them that would have
/// succeeded, by what others met in the same second; UNKNOWN those the recording says nothing about.
/// LEAKED are failures let through. A fault is a time in which at least a tenth of the outcomes
/// failed, or nothing ended; DETECTED says how many had a breaker trip, and TYPICAL and SLOWEST how long after the
/// first failing second it did. FLAPS are trips beyond one for each fault.
///
/// A replay knows what happened, not what would have: callers that are refused call again, or elsewhere, and
/// a backend that is spared may recover sooner. docs/recording.md says what else to keep in mind.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Replay {
    /// The recording
    file: PathBuf,
    #[command(flatten)]
    playing: Playing,
}

impl Replay {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let name = self.file.display().to_string();
        let terms = self.playing.policy.iter().map(|name| terms(name)).collect::<Result<_, _>>()?;
        let report = play(&self.file, terms).with_context(|| name.clone())?;
        if let Some(file) = &self.playing.svg {
            fs::write(file, picture(&name, &report))
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
        if self.playing.json {
            println!("{}", serde_json::to_string(&report).map_err(anyhow::Error::from)?);
            return Ok(());
        }
        let paint = Paint::stdout();
        print_head(&name, &report);
        println!();
        print!("{}", policies(&report, paint));
        if !report.faults.is_empty() {
            println!();
            print!("{}", faults(&report, paint));
            if let Some(others @ 1..) = report.faults.len().checked_sub(MOST_FAULTS) {
                println!("and {others} with fewer failures; --json tells all");
            }
        }
        print_remarks(&report);
        if self.playing.transitions {
            print_transitions(&report);
        }
        Ok(())
    }
}

fn terms(name: &str) -> Result<Terms, anyhow::Error> {
    if let Some(preset) = Preset::find(name) {
        return Ok(Terms::preset(preset));
    }
    if Path::new(name).exists() {
        return Ok(Terms::file(name, Config::load(Path::new(name))?));
    }
    let known = Preset::known(name);
    Err(anyhow!("{name:?} is neither a file nor a preset; there are {known}"))
}

fn play(file: &Path, terms: Vec<Terms>) -> Result<Report, anyhow::Error> {
    let mut reader = Reader::new(File::open(file)?)?;
    let mut replay = replay::Replay::new(terms);
    while let Some(frame) = reader.read()? {
        replay.take(frame, reader.base());
    }
    let ending = reader.ending().expect("there are no more frames");
    Ok(replay.finish(ending))
}

/// What is in the recording, and what is not.
fn print_head(name: &str, report: &Report) {
    let began = UNIX_EPOCH.checked_add(Duration::from_millis(report.began_ms));
    let began = began.map_or_else(dash, |began| format_rfc3339_seconds(began).to_string());
    let lasts = format_duration(Duration::from_secs(report.seconds));
    let (breakers, faults) = (report.breakers.len(), report.faults.len());
    let Report { connects, failures, .. } = report;
    println!(
        "{name}: {lasts} from {began}, {breakers} breakers, {connects} connects, {failures} failures, {faults} faults"
    );
    if !report.recorded_policies.is_empty() {
        println!("recorded under {}", report.recorded_policies.join(", "));
    }
    if let Some(at) = report.cut_off_at {
        println!("it is cut off at byte {at}; what is there until then is played");
    } else if !report.complete {
        println!("it was not ended in good order; what is there is played");
    }
    if report.restarts > 0 {
        println!("the daemon began anew {} times meanwhile", report.restarts);
    }
    if report.lost_seconds > 0 {
        println!("{} seconds were lost when it was made", report.lost_seconds);
    }
    if report.unknown_entries > 0 {
        let count = report.unknown_entries;
        println!("{count} entries of kinds this version does not know were passed over");
    }
}

fn policies(report: &Report, paint: Paint) -> String {
    let mut table = Table::new(&[
        "POLICY", "TRIPS", "REFUSED", "GOOD", "UNKNOWN", "LEAKED", "DETECTED", "TYPICAL",
        "SLOWEST", "FLAPS",
    ]);
    table.push(row(&report.recorded, report));
    for policy in &report.policies {
        table.push(row(policy, report));
    }
    table.render(paint, |_, _| None)
}

fn row(policy: &PolicyReport, report: &Report) -> Vec<String> {
    let mut times: Vec<u64> = policy.detected_ms.iter().flatten().copied().collect();
    times.sort_unstable();
    let typical = times.get(times.len() / 2).copied();
    vec![
        policy.policy.clone(),
        policy.trips.to_string(),
        policy.refused.to_string(),
        policy.refused_good.to_string(),
        policy.refused_unknown.to_string(),
        policy.leaked.to_string(),
        format!("{} of {}", policy.faults_detected, report.faults.len()),
        time(typical),
        time(times.last().copied()),
        policy.flaps.to_string(),
    ]
}

/// The faults with most failures, in order of time, and when each policy noticed.
fn faults(report: &Report, paint: Paint) -> String {
    let policies = || std::iter::once(&report.recorded).chain(&report.policies);
    let mut heading = vec!["FAULT", "FROM", "LASTED", "FAILURES"];
    heading.extend(policies().map(|policy| policy.policy.as_str()));
    let mut table = Table::new(&heading);
    let mut worst: Vec<usize> = (0..report.faults.len()).collect();
    worst.sort_by_key(|fault| std::cmp::Reverse(report.faults[*fault].failures));
    worst.truncate(MOST_FAULTS);
    worst.sort_unstable();
    for index in worst {
        let fault = &report.faults[index];
        let mut row = vec![
            report.breakers.get(fault.breaker).cloned().unwrap_or_default(),
            time(Some(fault.from_ms)),
            time(Some(fault.to_ms - fault.from_ms)),
            fault.failures.to_string(),
        ];
        let of = |policy: &PolicyReport| time(policy.detected_ms.get(index).copied().flatten());
        row.extend(policies().map(of));
        table.push(row);
    }
    table.render(paint, |_, _| None)
}

/// What must be known to read the figures rightly.
fn print_remarks(report: &Report) {
    if report.shed > 0 {
        println!();
        println!("{} connects were shed while this was recorded.", report.shed);
        println!("What they would have met is unknown: a policy that lets them through looks");
        println!("better than it is.");
    }
    for policy in report.policies.iter().filter(|policy| !policy.unmatched.is_empty()) {
        println!();
        println!("{} says nothing about:", policy.policy);
        for unmatched in policy.unmatched.iter().take(MOST_UNMATCHED) {
            println!("  {unmatched}");
        }
        if let Some(others @ 1..) = policy.unmatched.len().checked_sub(MOST_UNMATCHED) {
            println!("  and {others} others");
        }
    }
}

fn print_transitions(report: &Report) {
    for policy in std::iter::once(&report.recorded).chain(&report.policies) {
        println!();
        println!("{}", policy.policy);
        let changes = policy.transitions.iter().map(|change| {
            let name = report.breakers.get(change.breaker).map_or("", String::as_str);
            (change.at_ms, format!("{name}: {}", change.why))
        });
        let mut told: Vec<(u64, String)> = changes.chain(policy.notices.iter().cloned()).collect();
        told.sort_by_key(|(at, _)| *at);
        for (at, what) in told {
            println!("{:>9}  {what}", time(Some(at)));
        }
    }
}

const MOST_FAULTS: usize = 20;
const MOST_UNMATCHED: usize = 10;
const EXAMPLES: &str = "Examples:
  shedder replay scenarios/demo.rec --policy default --policy contract-200
  shedder replay monday.rec --policy /etc/shedder/shedder.toml --policy new.toml --svg monday.svg
  shedder replay monday.rec --transitions";
