//! How the tests of a guest went, read from what the test program prints.
//!
//! Invariant: an outcome is good only if the guest said that its tests ended well, and one ran.

use std::fmt;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    passed: usize,
    not_run: usize,
    failed: Vec<String>,
    /// The exit status of the test program.
    status: Option<i32>,
}

impl Outcome {
    /// Takes in one line.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix(ENDED) {
            self.status = status.trim().parse().ok();
        } else if let Some(summary) = line.strip_prefix("test result:") {
            self.not_run = not_run(summary);
        } else if let Some((name, result)) =
            line.strip_prefix("test ").and_then(|test| test.split_once(" ... "))
        {
            match result {
                "ok" => self.passed += 1,
                "FAILED" => self.failed.push(name.to_owned()),
                _ => {}
            }
        }
    }

    /// Whether the test program came to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.status.is_some()
    }

    /// Whether all that ran passed.
    pub(super) fn is_good(&self) -> bool {
        self.status == Some(0) && self.failed.is_empty() && self.passed > 0
    }

    /// The names of the tests that failed.
    pub(super) fn failed(&self) -> &[String] {
        &self.failed
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, not_run, failed, .. } = self;
        write!(formatter, "{passed} passed, {} failed, {not_run} not run", failed.len())
    }
}

/// Ignored ones and those that no filter let through.
fn not_run(summary: &str) -> usize {
    let count = |part: &str| part.split_whitespace().next()?.parse::<usize>().ok();
    let parts = summary.split(';').filter(|part| part.contains("ignored") || part.contains("out"));
    parts.filter_map(count).sum()
}

const ENDED: &str = "guest: the tests ended with ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_from_its_lines() {
        let mut outcome = Outcome::default();
        let lines = [
            "test trips::slow ... ok",
            "test trips::slow has been running for over 60 seconds",
            "test budget::over ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 193 filtered out; finished in 93.29s",
        ];
        for line in lines {
            outcome.read(line);
        }
        assert!(!outcome.is_whole());
        outcome.read("guest: the tests ended with 101");
        assert!(outcome.is_whole() && !outcome.is_good());
        assert_eq!(outcome.to_string(), "1 passed, 1 failed, 195 not run");
        assert_eq!(outcome.failed(), ["budget::over"]);
    }

    #[test]
    fn a_run_without_a_test_is_not_good() {
        let mut outcome = Outcome::default();
        outcome.read("guest: the tests ended with 0");
        assert!(!outcome.is_good());
    }
}
