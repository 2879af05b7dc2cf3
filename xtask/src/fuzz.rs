//! `cargo xtask fuzz`: random bytes, guided by what they reach, for everything that reads strange bytes.
//!
//! Invariant: works with the stable compiler; what is found is a file that the ordinary tests replay once
//! it lies in `tests/fuzz/corpus`.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::step::{self, Stopwatch};
use crate::{paths, process};

/// What to fuzz, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this; one after the other otherwise.
    #[arg(value_enum)]
    target: Option<Target>,
    /// Minutes of processor time for each.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// Afterwards take into the repository the fewest inputs that reach what all found so far reach.
    #[arg(long)]
    keep: bool,
    /// Instead of fuzzing feed it this file and show what happens; needs the target.
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
}

/// A reader of strange bytes, as `shedder-user/src/fuzzing.rs` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Policy files.
    Config,
    /// Requests over the control socket and to the pages.
    Control,
    /// Journals left by crashes and people.
    Journal,
    /// Recordings, and their replay.
    Recording,
    /// Records of the kernel's ring, and rows of its arrays.
    Ring,
}

/// The chore.
pub(crate) fn run(options: &Options) -> Result<()> {
    let program = build()?;
    let targets = options.target.map_or_else(|| Target::value_variants().to_vec(), |it| vec![it]);
    if let Some(input) = &options.input {
        let mut command = targets[0].command(&program)?;
        return process::run(command.env("RUST_BACKTRACE", "1").arg(input));
    }
    for target in &targets {
        target.fuzz(&program, Duration::from_secs(options.minutes * 60))?;
    }
    for target in targets.iter().filter(|_| options.keep) {
        target.keep(&program)?;
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    // Named, so that build scripts and macros, which run here and now, are built without all that.
    let triple = format!("{ARCH}-unknown-linux-gnu");
    let mut command = process::host_cargo();
    command
        .args(["build", "--profile", "fuzz", "--package", "shedder-fuzz", "--target", &triple])
        .env("CARGO_TARGET_DIR", directory())
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    process::run(&mut command).context(
        "the fuzzer does not build; it needs a C++ compiler: sudo apt-get install -y g++",
    )?;
    Ok(directory().join(triple).join("fuzz/shedder-fuzz"))
}

impl Target {
    fn fuzz(self, program: &Path, budget: Duration) -> Result<()> {
        let found = self.found();
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        let (began, watch) = (processor_time()?, Stopwatch::start());
        let mut executions = 0;
        loop {
            let spent = processor_time()?.saturating_sub(began);
            let Some(left) = budget.checked_sub(spent).filter(|left| left.as_secs() > 0) else {
                break;
            };
            let mut command = self.command(program)?;
            command
                .arg(format!("-max_total_time={}", left.as_secs()))
                .arg(format!("-artifact_prefix={}/{}-", directory().display(), self.name()))
                .args(["-print_final_stats=1", "-reload=0"])
                .args([&found, &self.kept()]);
            executions += self.watch(&mut command)?;
        }
        let spent = processor_time()?.saturating_sub(began);
        step::tagged(
            step::GREEN,
            "ok",
            &format!(
                "{}: {executions} inputs in {} of processor time ({watch} by the clock), nothing found",
                self.name(),
                step::seconds(spent),
            ),
        );
        Ok(())
    }

    /// Runs it with its words in a file; how many inputs it has tried.
    fn watch(self, command: &mut Command) -> Result<u64> {
        let log = directory().join(format!("{}.log", self.name()));
        let file = fs::File::create(&log).with_context(|| format!("{}", log.display()))?;
        let outcome = process::run(command.stdout(file.try_clone()?).stderr(file));
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if let Err(error) = outcome {
            let end: Vec<&str> = said.lines().rev().take(LINES_OF_A_FINDING).collect();
            end.iter().rev().for_each(|line| step::plain(line));
            bail!(
                "{}: {error}; look at it with `cargo xtask fuzz {} --input FILE`, and when it is mended \
                 put the file into {} under a name that says what it was",
                self.name(),
                self.name(),
                paths::relative(&self.kept()).display(),
            );
        }
        let count = said.lines().find_map(|line| line.strip_prefix(EXECUTIONS));
        count.and_then(|count| count.trim().parse().ok()).context("the fuzzer counts nothing")
    }

    /// Replaces what is in the repository by the fewest inputs that reach as much. Those with a name given
    /// by people stay.
    fn keep(self, program: &Path) -> Result<()> {
        let (kept, found) = (self.kept(), self.found());
        let fewest = directory().join(format!("{}-fewest", self.name()));
        if fewest.exists() {
            fs::remove_dir_all(&fewest)?;
        }
        fs::create_dir_all(&fewest)?;
        let mut command = self.command(program)?;
        self.watch_merge(command.arg("-set_cover_merge=1").args([&fewest, &kept, &found]))?;
        for input in files(&kept)?.into_iter().filter(|path| is_named_by_the_fuzzer(path)) {
            fs::remove_file(input)?;
        }
        let inputs = files(&fewest)?;
        ensure!(!inputs.is_empty(), "{}: nothing is left of the inputs", self.name());
        for input in &inputs {
            let name = input.file_name().context("a file has a name")?;
            fs::copy(input, kept.join(name))?;
        }
        step::note(&format!("{}: {} inputs are kept", self.name(), inputs.len()));
        Ok(())
    }

    fn watch_merge(self, command: &mut Command) -> Result<()> {
        let log = directory().join(format!("{}-merge.log", self.name()));
        let file = fs::File::create(&log).with_context(|| format!("{}", log.display()))?;
        process::run(command.stdout(file.try_clone()?).stderr(file))
            .with_context(|| format!("see {}", log.display()))
    }

    fn command(self, program: &Path) -> Result<Command> {
        let scratch = Path::new("/dev/shm").join("shedder-fuzz");
        fs::create_dir_all(&scratch).context("/dev/shm is not writable")?;
        let mut command = Command::new(program);
        command
            .env("SHEDDER_FUZZ_TARGET", self.name())
            .env("TMPDIR", scratch)
            .arg(format!("-max_len={}", self.longest()))
            .args(["-timeout=60", "-rss_limit_mb=2048", "-verbosity=1"]);
        let words = paths::root().join(format!("tests/fuzz/dictionaries/{}.dict", self.name()));
        if words.exists() {
            command.arg(format!("-dict={}", words.display()));
        }
        Ok(command)
    }

    /// Longer inputs hold nothing new, and take longer.
    const fn longest(self) -> usize {
        match self {
            Self::Control | Self::Journal => 2048,
            Self::Config | Self::Recording | Self::Ring => 4096,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Control => "control",
            Self::Journal => "journal",
            Self::Recording => "recording",
            Self::Ring => "ring",
        }
    }

    /// What is in the repository.
    fn kept(self) -> PathBuf {
        paths::root().join("tests/fuzz/corpus").join(self.name())
    }

    /// What this machine has found.
    fn found(self) -> PathBuf {
        directory().join("corpus").join(self.name())
    }
}

fn directory() -> PathBuf {
    paths::target_dir().join("fuzz")
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// By the hash of its content, in 40 digits.
fn is_named_by_the_fuzzer(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the children of this process have used of the processor.
fn processor_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc is not mounted")?;
    // Behind the name, which may hold anything, user and system time of the children are numbers 14 and 15.
    let fields = stat.rsplit_once(')').context("/proc/self/stat makes no sense")?.1;
    let ticks: u64 = fields.split_whitespace().skip(13).take(2).flat_map(str::parse::<u64>).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// What the help ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz                  a minute for each
  cargo xtask fuzz journal --minutes 30 --keep
                                    half an hour for one, and what it found goes into the repository
  cargo xtask fuzz ring --input target/fuzz/ring-crash-81fe8bfe
                                    what an input that was found does";
/// What makes the compiler tell libFuzzer what an input reaches, and what it compares.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg",
    "fuzzing",
];
const EXECUTIONS: &str = "stat::number_of_executed_units:";
/// Of `/proc`, on every kernel there is.
const TICKS_PER_SECOND: u64 = 100;
const LINES_OF_A_FINDING: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_are_names_of_the_fuzzer() {
        assert!(is_named_by_the_fuzzer(Path::new("a/81fe8bfe87576c3ecb22426f8e57847382917acf")));
        assert!(!is_named_by_the_fuzzer(Path::new("a/a-number-too-great")));
    }

    #[test]
    fn a_child_that_works_takes_processor_time() {
        let before = processor_time().expect("there is /proc");
        let work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        process::capture(Command::new("sh").args(["-c", work])).expect("it counts");
        assert!(processor_time().expect("there is /proc") > before);
    }
}
