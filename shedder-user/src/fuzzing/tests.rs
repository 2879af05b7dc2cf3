//! What fuzzers have found interesting, and every input that once broke something.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn every_kept_policy_file_is_read_or_refused() {
    replay("config");
}

#[test]
fn every_kept_conversation_ends() {
    replay("control");
}

#[test]
fn every_kept_journal_is_mended() {
    replay("journal");
}

#[test]
fn every_kept_recording_is_played() {
    replay("recording");
}

#[test]
fn every_kept_record_of_the_kernel_is_taken() {
    replay("ring");
}

#[test]
fn each_target_has_a_corpus_and_each_corpus_a_target() {
    let mut kept: Vec<_> = fs::read_dir(corpus())
        .expect("it is in the repository")
        .map(|entry| entry.expect("it is readable").file_name())
        .collect();
    kept.sort();
    assert_eq!(kept, TARGETS.map(|target| target.name));
}

fn replay(name: &str) {
    let target = Target::find(name).expect("it is a target");
    let inputs = fs::read_dir(corpus().join(name)).expect("it is in the repository");
    let mut replayed = 0;
    for input in inputs {
        let path = input.expect("it is readable").path();
        let bytes = fs::read(&path).expect("it is readable");
        let outcome = catch_unwind(|| (target.run)(&bytes));
        assert!(outcome.is_ok(), "{}", path.display());
        replayed += 1;
    }
    assert!(replayed > 20, "{replayed}");
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus")
}
