//! What is in the files after rotation, a crash, and other people's hands.

use serde_json::Value;
use tempfile::TempDir;

use super::*;

const TINY: JournalLimits = JournalLimits { max_kib: 1, files: 3 };

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn line(sequence: u64) -> Vec<u8> {
    let text = "x".repeat(60);
    format!("{{\"sequence\":{sequence},\"event\":\"error\",\"at\":\"now\",\"text\":\"{text}\"}}\n")
        .into_bytes()
}

fn append(files: &mut Files, sequences: std::ops::RangeInclusive<u64>) {
    let mut lines = sequences.map(line).collect();
    files.append(&mut lines).expect("it is writable");
    assert!(lines.is_empty());
}

/// The numbers of the events in a file, each of whose lines must be whole.
fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).expect("it is there");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("whole"));
    lines.map(|line| line["sequence"].as_u64().expect("a number")).collect()
}

#[test]
fn a_full_file_is_put_aside_and_the_oldest_goes() {
    let directory = directory();
    let mut files = Files::new(directory.path(), None, TINY);
    for first in (1..100).step_by(7) {
        append(&mut files, first..=first + 6);
    }
    let path = directory.path();
    let mut all = Vec::new();
    for file in [numbered(path, 2), numbered(path, 1), current(path)] {
        assert!(fs::metadata(&file).expect("it is there").len() <= 1024);
        all.extend(numbers(&file));
    }
    // The last ones, in their order and without a gap.
    assert_eq!(all, (all[0]..=105).collect::<Vec<u64>>());
    assert!(!numbered(path, 3).exists());

    files.limit(JournalLimits { files: 1, ..TINY });
    append(&mut files, 106..=130);
    assert_eq!(aside(path).expect("a directory"), [0_u32; 0]);
}

#[test]
fn a_line_longer_than_a_file_has_one_of_its_own() {
    let directory = directory();
    let mut files = Files::new(directory.path(), None, TINY);
    append(&mut files, 1..=1);
    let long = format!("{{\"sequence\":2,\"text\":\"{}\"}}\n", "x".repeat(2000)).into_bytes();
    let mut lines = VecDeque::from([long, line(3)]);
    files.append(&mut lines).expect("it is writable");
    let path = directory.path();
    let kept = [numbered(path, 2), numbered(path, 1), current(path)].map(|file| numbers(&file));
    assert_eq!(kept, [[1], [2], [3]]);
}

#[test]
fn what_a_crash_has_torn_is_kept_aside_and_the_rest_is_whole() {
    for torn in ["{\"sequence\":3,\"ev", "{\"sequence\":3,\"ev\n", "\0\0\0\0\0", "\0\0\n\0\n{"] {
        let directory = directory();
        append(&mut Files::new(directory.path(), None, TINY), 1..=2);
        let path = current(directory.path());
        let mut file = OpenOptions::new().append(true).open(&path).expect("it is ours");
        file.write_all(torn.as_bytes()).expect("it is ours");
        append(&mut Files::new(directory.path(), None, TINY), 3..=4);
        assert_eq!(numbers(&path), [1, 2, 3, 4], "{torn:?}");
        let aside = fs::read_to_string(directory.path().join(TORN)).expect("it is kept");
        assert_eq!(aside, torn);
    }
}

#[test]
fn what_is_no_journal_is_not_cut() {
    let directory = directory();
    let foreign = "precious\n".repeat(100_000);
    fs::write(current(directory.path()), &foreign).expect("it is ours");
    append(&mut Files::new(directory.path(), None, TINY), 1..=1);
    assert_eq!(numbers(&current(directory.path())), [1]);
    let aside = fs::read_to_string(directory.path().join(TORN)).expect("it is kept");
    assert!(aside == foreign);
}

#[test]
fn a_file_that_is_taken_away_is_made_again() {
    let directory = directory();
    let mut files = Files::new(directory.path(), None, TINY);
    append(&mut files, 1..=1);
    fs::remove_file(current(directory.path())).expect("it is ours");
    append(&mut files, 2..=2);
    assert_eq!(numbers(&current(directory.path())), [2]);
    fs::remove_dir_all(directory.path()).expect("it is ours");
    append(&mut files, 3..=3);
    assert_eq!(numbers(&current(directory.path())), [3]);
}

#[test]
fn others_may_not_read_it_and_a_second_writer_is_refused() {
    let directory = directory();
    let inner = directory.path().join("a/b");
    let mut files = Files::new(&inner, None, TINY);
    append(&mut files, 1..=1);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!((mode(&inner), mode(&current(&inner))), (0o750, 0o640));
    let mut second = Files::new(&inner, None, TINY);
    let mut lines = VecDeque::from([line(2)]);
    let error = second.append(&mut lines).expect_err("it is taken").to_string();
    assert!(error.contains("another shedder"), "{error}");
    assert_eq!(lines.len(), 1);
    drop(files);
    second.append(&mut lines).expect("it is free");
    assert_eq!(numbers(&current(&inner)), [1, 2]);
}

#[test]
fn neither_a_link_is_followed_nor_a_pipe_waited_for() {
    let directory = directory();
    let path = current(directory.path());
    let mut files = Files::new(directory.path(), None, TINY);
    let mut lines = VecDeque::from([line(1)]);
    std::os::unix::fs::symlink("elsewhere", &path).expect("it is ours");
    files.append(&mut lines).expect_err("a link");
    fs::remove_file(&path).expect("it is ours");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("it is ours");
    files.append(&mut lines).expect_err("a pipe");
    fs::remove_file(&path).expect("it is ours");
    fs::create_dir(&path).expect("it is ours");
    files.append(&mut lines).expect_err("a directory");
    fs::remove_dir(&path).expect("it is ours");
    files.append(&mut lines).expect("nothing is in the way");
    assert_eq!(numbers(&path), [1]);
}
