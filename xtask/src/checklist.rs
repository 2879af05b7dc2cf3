//! Several checks, all of them made, and a summary at the end.
//!
//! Invariant: one failure never hides another, and the summary is the last thing printed.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::step::{self, GREEN, RED, Stopwatch, YELLOW};

/// The checks made so far.
#[derive(Debug, Default)]
pub(crate) struct Checklist {
    entries: Vec<Entry>,
}

impl Checklist {
    /// Make one check; whether it passed.
    pub(crate) fn check(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> bool {
        let watch = Stopwatch::start();
        let verdict = match work() {
            Ok(()) => Verdict::Passed,
            Err(error) => {
                step::print_error(&error);
                Verdict::Failed(summary_of(&error))
            }
        };
        let passed = verdict == Verdict::Passed;
        self.entries.push(Entry { name, verdict, took: watch.elapsed() });
        passed
    }

    /// Note a check that was not made, and why.
    pub(crate) fn skip(&mut self, name: &'static str, why: &str) {
        let verdict = Verdict::Skipped(why.to_owned());
        self.entries.push(Entry { name, verdict, took: Duration::ZERO });
    }

    /// Print the summary; an error when any check failed.
    pub(crate) fn finish(self) -> Result<()> {
        step::plain("");
        for Entry { name, verdict, took } in &self.entries {
            let took = step::seconds(*took);
            match verdict {
                Verdict::Passed => step::tagged(GREEN, "passed ", &format!("{name}  {took}")),
                Verdict::Failed(why) => {
                    step::tagged(RED, "FAILED ", &format!("{name}  {took}  {why}"));
                }
                Verdict::Skipped(why) => step::tagged(YELLOW, "skipped", &format!("{name}  {why}")),
            }
        }
        let failed = self.entries.iter().filter(|entry| entry.verdict.is_failure()).count();
        if failed == 0 {
            return Ok(());
        }
        bail!("{failed} of {} checks failed", self.entries.len())
    }
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    verdict: Verdict,
    took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Verdict {
    fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// The first line of an error: the rest was printed when it happened.
fn summary_of(error: &anyhow::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_list_and_the_rest_is_still_checked() {
        let mut list = Checklist::default();
        assert!(!list.check("first", || bail!("broken\nin detail")));
        assert!(list.check("second", || Ok(())));
        list.skip("third", "first failed");
        let error = list.finish().expect_err("the first failed");
        assert_eq!(error.to_string(), "1 of 3 checks failed");
    }

    #[test]
    fn a_skipped_check_is_no_failure() {
        let mut list = Checklist::default();
        list.skip("only", "nothing to do");
        assert!(list.finish().is_ok());
    }
}
