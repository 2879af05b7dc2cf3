//! How the tests of a guest went, read from what the test program prints.
//!
//! Invariant: an outcome is good only if the guest said that its tests ended well, and one ran.

use std::fmt;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    passed: usize,
    failed: usize,
    not_run: usize,
    names_of_failed: Vec<String>,
    /// The exit status of the test program.
    status: Option<i32>,
}

impl Outcome {
    /// Takes in one line.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(status) = line.strip_prefix(ENDED) {
            self.status = status.trim().parse().ok();
        } else if let Some(summary) = line.strip_prefix("test result:") {
            self.passed = count(summary, "passed");
            self.failed = count(summary, "failed");
            self.not_run = count(summary, "ignored") + count(summary, "filtered");
        } else if line == "failures:" {
            // It comes twice: before what they said, and before their names.
            self.names_of_failed.clear();
        } else if let Some(name) = line.strip_prefix("    ")
            && name.contains("::")
            && !name.contains(' ')
        {
            self.names_of_failed.push(name.to_owned());
        }
    }

    /// Whether the test program came to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.status.is_some()
    }

    /// Whether all that ran passed.
    pub(super) fn is_good(&self) -> bool {
        self.status == Some(0) && self.failed == 0 && self.passed > 0
    }

    /// The names of the tests that failed.
    pub(super) fn names_of_failed(&self) -> &[String] {
        &self.names_of_failed
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, not_run, failed, .. } = self;
        write!(formatter, "{passed} passed, {failed} failed, {not_run} not run")
    }
}

/// The number before a word of a summary: `3 passed; 1 failed; 0 ignored; 193 filtered out`.
fn count(summary: &str, what: &str) -> usize {
    let words: Vec<&str> = summary.split([' ', ';', '.']).filter(|it| !it.is_empty()).collect();
    let before = words.windows(2).find(|pair| pair[1] == what).map(|pair| pair[0].parse());
    before.and_then(Result::ok).unwrap_or_default()
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
            "test budget::over ... something a child says",
            "FAILED",
            "failures:",
            "---- budget::over stdout ----",
            "    what::it_said",
            "failures:",
            "    budget::over",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 193 filtered out; finished in 93.29s",
        ];
        for line in lines {
            outcome.read(line);
        }
        assert!(!outcome.is_whole());
        outcome.read("guest: the tests ended with 101");
        assert!(outcome.is_whole() && !outcome.is_good());
        assert_eq!(outcome.to_string(), "1 passed, 1 failed, 195 not run");
        assert_eq!(outcome.names_of_failed(), ["budget::over"]);
    }

    #[test]
    fn a_run_without_a_test_is_not_good() {
        let mut outcome = Outcome::default();
        outcome.read("guest: the tests ended with 0");
        assert!(!outcome.is_good());
    }
}
