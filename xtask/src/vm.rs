//! `cargo xtask vm`: the kernel tests on kernels other than this machine's.
//!
//! Invariant: nothing is installed, and this machine's own kernel is not touched: qemu emulates a
//! processor in software and the guest lives in memory, from one archive of files.

mod archive;
mod guest;
mod image;
mod kernel;
mod outcome;
mod programs;
mod qemu;

use std::fs;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::paths;
use crate::step::{self, GREEN, RED, Stopwatch};

pub(crate) use kernel::Series;
use outcome::Outcome;

/// The chore: `series` or all, a few tests or all, and arguments for the test program.
pub(crate) fn run(series: Option<Series>, short: bool, arguments: &[String]) -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the guests are x86-64 kernels; run this on such a machine"
    );
    let wanted = series.map_or_else(|| Series::ALL.to_vec(), |series| vec![series]);
    let directory = paths::target_dir().join("vm");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let qemu = qemu::ensure(&directory)?;
    let kernels: Vec<_> = wanted
        .into_iter()
        .map(|series| kernel::ensure(series, &directory, &qemu.busybox))
        .collect::<Result<_>>()?;
    let programs = programs::build()?;
    let arguments = test_arguments(short, arguments);

    // At the same time: each takes one processor.
    let run = &|kernel| {
        let watch = Stopwatch::start();
        let outcome = image::build(kernel, &programs, &qemu, &arguments, &directory)
            .and_then(|image| guest::run(kernel, &qemu, &image, &directory));
        (&kernel.release, outcome, watch.elapsed())
    };
    let runs: Vec<_> = thread::scope(|scope| {
        let mut started = Vec::new();
        for kernel in &kernels {
            started.push(scope.spawn(move || run(kernel)));
        }
        started.into_iter().map(|it| it.join().expect("a run does not panic")).collect()
    });

    step::plain("");
    let mut good = true;
    for (release, outcome, took) in &runs {
        let passed = outcome.as_ref().is_ok_and(Outcome::is_good);
        let (colour, tag) = if passed { (GREEN, "passed") } else { (RED, "FAILED") };
        let text = outcome.as_ref().map_or_else(|error| format!("{error:#}"), Outcome::to_string);
        step::tagged(colour, tag, &format!("Linux {release}: {text}  {}", step::seconds(*took)));
        for name in outcome.iter().flat_map(Outcome::names_of_failed) {
            step::plain(&format!("         {name}"));
        }
        good &= passed;
    }
    if !good {
        bail!("not every kernel passed; what the guests said is in {}", directory.display());
    }
    Ok(())
}

/// What the test program is told.
fn test_arguments(short: bool, given: &[String]) -> Vec<String> {
    let few = if short { SHORT } else { &[] };
    let skipped = NOT_ABOUT_THE_KERNEL.iter().flat_map(|name| ["--skip", name]);
    let fixed = [THREADS].into_iter().chain(skipped).chain(few.iter().copied());
    fixed.map(str::to_owned).chain(given.iter().cloned()).collect()
}

/// A guest has one processor, and what a test waits for costs nothing.
const THREADS: &str = "--test-threads=1";

/// These judge the speed of this machine, or ask what no guest has: promtool, a browser, a collector,
/// a terminal, the documentation.
const NOT_ABOUT_THE_KERNEL: [&str; 7] = [
    "bench::",
    "prometheus::",
    "dashboard::",
    "docs::",
    "otlp::a_real_collector",
    "systemd::",
    "top::",
];

/// One for each thing a kernel may do differently: what the programs decide, evidence and
/// refusal, holds, redirects, the timing of packets, the end of connections.
const SHORT: &[&str] = &[
    "decision::",
    "trips::a_refusing_endpoint",
    "trips::an_endpoint_that_answers_after",
    "actions::redirect_reaches",
    "actions::a_hold_is_lengthened",
    "established::",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_person_names_is_added_to_what_is_never_run() {
        let arguments = test_arguments(false, &["trips::".to_owned()]);
        assert_eq!(arguments[1..3], ["--skip", "bench::"]);
        assert_eq!(arguments.last().map(String::as_str), Some("trips::"));
        assert!(!arguments.contains(&"decision::".to_owned()));
        assert!(test_arguments(true, &[]).contains(&"decision::".to_owned()));
    }
}
