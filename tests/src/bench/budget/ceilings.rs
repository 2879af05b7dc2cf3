//! The ceilings: from their file, to what is wrong by them.
//!
//! Invariant: every complaint names the program, the figure, the ceiling and what to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figure::{Figure, Measured, Unit, Verdict};
use crate::bench::machine::Machine;

/// A file of ceilings.
#[derive(Clone, Debug)]
pub(super) struct Ceilings {
    /// Its name, for people.
    pub(super) file: String,
    pub(super) taken_on: TakenOn,
    tables: Tables,
}

/// Where the figures behind the ceilings were taken.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TakenOn {
    /// The series, such as `6.18`: verifiers count differently from one to the next.
    pub(super) kernel: String,
    /// The model, as the kernel names it.
    pub(super) cpu: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    taken_on: TakenOn,
    /// By program.
    instructions: BTreeMap<String, u32>,
    /// By program and path.
    nanoseconds: BTreeMap<String, BTreeMap<String, u32>>,
}

impl Ceilings {
    /// Those every change is held to.
    pub(super) fn of_the_repository() -> Result<Self> {
        Self::parse(REPOSITORY_FILE, REPOSITORY_CEILINGS)
    }

    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Self::parse(&file.display().to_string(), &text)
    }

    /// Puts every figure beside its ceiling.
    pub(super) fn judge(&self, measured: &[Measured], machine: &Machine) -> Vec<Figure> {
        let is_kernel = series(&machine.kernel) == self.taken_on.kernel;
        let is_cpu = machine.cpu_model == self.taken_on.cpu;
        let judge = |measured: &Measured| {
            let is_at_home = is_kernel && (measured.unit == Unit::Instructions || is_cpu);
            Figure::new(*measured, self.ceiling(measured), is_at_home)
        };
        measured.iter().map(judge).collect()
    }

    /// What is a failure, one line each.
    pub(super) fn complaints(&self, figures: &[Figure]) -> Vec<String> {
        let of_figures = figures.iter().filter_map(|figure| self.complaint(figure));
        of_figures.chain(self.ceilings_of_nothing(figures)).collect()
    }

    /// What is worth a line and no failure.
    pub(super) fn warnings(&self, figures: &[Figure]) -> Vec<String> {
        let TakenOn { kernel, cpu } = &self.taken_on;
        let elsewhere = figures.iter().filter(|figure| figure.verdict == Verdict::PassedElsewhere);
        let warn = |figure: &Figure| {
            format!(
                "{}, but that was taken on Linux {kernel} and {cpu}: no failure here",
                excess(figure)
            )
        };
        elsewhere.map(warn).collect()
    }

    fn parse(file: &str, text: &str) -> Result<Self> {
        let tables: Tables =
            toml::from_str(text).with_context(|| format!("{file} holds no ceilings"))?;
        Ok(Self { file: file.to_owned(), taken_on: tables.taken_on.clone(), tables })
    }

    fn ceiling(&self, measured: &Measured) -> Option<u32> {
        let Tables { instructions, nanoseconds, .. } = &self.tables;
        match measured.path {
            None => instructions.get(measured.program).copied(),
            Some(path) => nanoseconds.get(measured.program)?.get(path).copied(),
        }
    }

    fn complaint(&self, figure: &Figure) -> Option<String> {
        let (place, file) = (figure.place(), &self.file);
        match (figure.verdict, figure.unit) {
            (Verdict::Passed, Unit::Instructions) => Some(format!(
                "{}: make it simpler, or raise {place} in {file} and say there why",
                excess(figure)
            )),
            (Verdict::Passed, Unit::Nanoseconds) => Some(format!(
                "{}: measure again when nothing else runs; then make it faster, or raise {place} in {file} and say there why",
                excess(figure)
            )),
            (Verdict::NoCeiling, unit) => Some(format!(
                "{}: {} {unit}, no ceiling: add {place} in {file} and say there why it is so high",
                figure.name(),
                figure.value.unwrap_or_default()
            )),
            (Verdict::Within | Verdict::PassedElsewhere | Verdict::NotTold, _) => None,
        }
    }

    /// Ceilings over something that was not among what was measured, though its kind was.
    fn ceilings_of_nothing(&self, figures: &[Figure]) -> Vec<String> {
        let Tables { instructions, nanoseconds, .. } = &self.tables;
        let is_measured = |program: &str, path: Option<&str>| {
            figures.iter().any(|figure| figure.program == program && figure.path == path)
        };
        let has = |unit| figures.iter().any(|figure| figure.unit == unit);
        let programs = instructions.keys().filter(|_| has(Unit::Instructions));
        let programs = programs.filter(|program| !is_measured(program, None));
        let paths = nanoseconds.iter().filter(|_| has(Unit::Nanoseconds));
        let paths =
            paths.flat_map(|(program, paths)| paths.keys().map(move |path| (program, path)));
        let paths = paths.filter(|(program, path)| !is_measured(program, Some(path.as_str())));
        let file = &self.file;
        programs
            .map(|program| {
                format!("`{program}` under [instructions] in {file} is no program: remove it")
            })
            .chain(paths.map(|(program, path)| {
                format!("`{path}` under [nanoseconds.{program}] in {file} is no path: remove it")
            }))
            .collect()
    }
}

/// How a figure passes its ceiling.
fn excess(figure: &Figure) -> String {
    format!(
        "{}: {} {}, ceiling {}",
        figure.name(),
        figure.value.unwrap_or_default(),
        figure.unit,
        figure.ceiling.unwrap_or_default()
    )
}

/// `6.18` of `6.18.44-cloud`.
fn series(kernel: &str) -> String {
    kernel.split('.').take(2).collect::<Vec<_>>().join(".")
}

const REPOSITORY_FILE: &str = "shedder-ebpf/budget.toml";
const REPOSITORY_CEILINGS: &str = include_str!("../../../../shedder-ebpf/budget.toml");

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[taken_on]
kernel = "6.18"
cpu = "Some CPU"
[instructions]
connect4 = 100
[nanoseconds.egress]
with_payload = 50
"#;

    fn ceilings(text: &str) -> Ceilings {
        Ceilings::parse("budget.toml", text).expect("a good file")
    }

    fn machine(kernel: &str, cpu: &str) -> Machine {
        Machine { kernel: kernel.to_owned(), cpu_model: cpu.to_owned(), cpus: 2 }
    }

    fn measured(instructions: u32, nanoseconds: f64) -> [Measured; 2] {
        [
            Measured::instructions("connect4", Some(instructions)),
            Measured::nanoseconds("egress", "with_payload", nanoseconds),
        ]
    }

    fn complaints(measured: &[Measured], machine: &Machine) -> Vec<String> {
        let ceilings = ceilings(FILE);
        ceilings.complaints(&ceilings.judge(measured, machine))
    }

    #[test]
    fn a_figure_on_its_ceiling_is_within() {
        let home = machine("6.18.44-cloud", "Some CPU");
        assert_eq!(complaints(&measured(100, 50.4), &home), Vec::<String>::new());
    }

    #[test]
    fn a_passed_ceiling_is_named_with_what_to_do() {
        let home = machine("6.18.1", "Some CPU");
        assert_eq!(
            complaints(&measured(101, 51.0), &home),
            [
                "connect4: 101 verified instructions, ceiling 100: make it simpler, or raise \
                 `connect4` under [instructions] in budget.toml and say there why",
                "egress with payload: 51 ns a run, ceiling 50: measure again when nothing else \
                 runs; then make it faster, or raise `with_payload` under [nanoseconds.egress] in \
                 budget.toml and say there why",
            ]
        );
    }

    #[test]
    fn elsewhere_a_passed_ceiling_is_a_warning() {
        let ceilings = ceilings(FILE);
        let warnings = |machine: &Machine| {
            let figures = ceilings.judge(&measured(101, 51.0), machine);
            (ceilings.complaints(&figures).len(), ceilings.warnings(&figures).len())
        };
        assert_eq!(warnings(&machine("6.1.44", "Some CPU")), (0, 2));
        // The verifier does not care for the CPU.
        assert_eq!(warnings(&machine("6.18.44", "Another CPU")), (1, 1));
    }

    #[test]
    fn what_has_no_ceiling_and_a_ceiling_of_nothing_are_failures() {
        let home = machine("6.18.1", "Some CPU");
        let found = complaints(&[Measured::instructions("sockops", Some(7))], &home);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("sockops: 7 verified instructions, no ceiling"), "{found:?}");
        assert!(found[1].starts_with("`connect4` under [instructions]"), "{found:?}");
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_no_failure() {
        let old = machine("5.15.1", "Some CPU");
        let untold = [Measured::instructions("connect4", None)];
        assert_eq!(complaints(&untold, &old), Vec::<String>::new());
        let figures = ceilings(FILE).judge(&untold, &old);
        assert_eq!(figures[0].verdict, Verdict::NotTold);
    }

    #[test]
    fn a_misspelt_table_is_refused() {
        assert!(
            Ceilings::parse("budget.toml", &FILE.replace("[instructions]", "[instruction]"))
                .is_err()
        );
    }
}
