//! What a reader makes of recordings, whole, cut off, damaged, and of what is none.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::engine::{Buckets, Counts, Sample, State, Unfinished};

fn buckets() -> impl Strategy<Value = Buckets> {
    vec((0_u8..192, 1_u32..1_000_000), 0..5).prop_map(|mut buckets| {
        buckets.sort_unstable();
        buckets.dedup_by_key(|(bucket, _)| *bucket);
        buckets
    })
}

fn second() -> impl Strategy<Value = Second> {
    let number = prop_oneof![3 => Just(0), 2 => 0_u64..300, 1 => 0..=u64::from(u32::MAX)];
    (vec(number, 20), (buckets(), buckets(), buckets(), buckets(), buckets())).prop_map(
        |(numbers, (connect, response, rtt, connecting, waiting))| {
            let mut numbers = numbers.into_iter();
            let mut next = || numbers.next().unwrap_or_default();
            let counts = Counts {
                connects: next(),
                shed: next(),
                successes: next(),
                refused: next(),
                timed_out: next(),
                unreachable: next(),
                reset: next(),
                errored: next(),
                segments: next(),
                retransmits: next(),
            };
            let unfinished = Unfinished {
                connecting,
                waiting,
                stalled_connecting: next(),
                stalled_waiting: next(),
                in_flight: next(),
            };
            let sample = Sample {
                counts,
                failure_bursts: next(),
                failure_run: next(),
                probes: next(),
                probe_successes: next(),
                probe_failures: next(),
                probes_void: next(),
                connect,
                response,
                rtt,
                unfinished,
            };
            Second { sample, longest_run: next() }
        },
    )
}

fn name(number: u32) -> Name {
    Name {
        caller: "web".to_owned(),
        service: "db".to_owned(),
        endpoint: ([10, 0, 0, 1], u16::try_from(5_000 + number).expect("a few")).into(),
        network: (number % 2 == 1).then(|| "net:[4026531840]".to_owned()),
        policy: "web to db".to_owned(),
        observes: number.is_multiple_of(3),
    }
}

/// Frames that make sense together: three cells, then seconds and what may come between.
pub(crate) fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let entry = (0_u64..3, vec(second(), 3), any::<[bool; 3]>(), 0_u8..8, 0_usize..8);
    (vec(entry, 0..12), any::<bool>()).prop_map(|(entries, ends)| {
        let start = Start { wall_ms: 1_700_000_000_000, tick_ms: 100, version: "0.1.0".to_owned() };
        let mut frames = vec![Frame::Start(start)];
        frames.extend((0..3).map(|number| Frame::Cell(name(number))));
        let mut second = 0;
        for (pause, evidence, seen, kind, state) in entries {
            second += pause;
            let cells = (0..).zip(evidence).zip(seen).filter(|(_, seen)| *seen);
            let cells = cells.map(|(cell, _)| cell).collect();
            frames.push(Frame::Second { second, cells });
            match kind {
                0 => frames.push(Frame::Gone(1)),
                1 => frames.push(Frame::Lost(2)),
                2 => frames.push(Frame::Unknown(99)),
                3 => frames.push(Frame::Change(Change {
                    cell: 2,
                    at_ms: second * 1000 + 300,
                    from: State::Closed,
                    to: State::ALL[state],
                    cause: "consecutive".to_owned(),
                    why: "closed -> open, because 5 failures in a row".to_owned(),
                })),
                _ => {}
            }
            second += u64::from(kind == 1) * 2;
        }
        if ends {
            frames.push(Frame::End);
        }
        frames
    })
}

fn file(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    for frame in frames {
        encode(frame, &mut bytes);
    }
    bytes
}

/// Everything that can be read, and how it ends.
fn read(bytes: &[u8]) -> (Vec<Frame>, Result<Ending, Damage>) {
    let mut frames = Vec::new();
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(damage) => return (frames, Err(damage)),
    };
    loop {
        match reader.read() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(reader.ending().expect("it has ended"))),
            Err(damage) => return (frames, Err(damage)),
        }
    }
}

/// Whatever is read lies within the bytes, and the error, if any, too.
fn assert_sane(bytes: &[u8]) {
    let (frames, ending) = read(bytes);
    assert!(frames.len() <= bytes.len() / 6, "a frame has six bytes at least");
    let offset = match ending {
        Ok(Ending::Complete | Ending::Abrupt) => return,
        Ok(Ending::CutOff(offset))
        | Err(Damage::Nonsense { offset, .. } | Damage::Unreadable { offset, .. }) => offset,
    };
    assert!(offset <= bytes.len() as u64, "{offset} of {}", bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(frames in frames()) {
        let (found, ending) = read(&file(&frames));
        let is_complete = frames.last() == Some(&Frame::End);
        prop_assert_eq!(ending.expect("it is sound"), if is_complete { Ending::Complete } else { Ending::Abrupt });
        prop_assert_eq!(found, frames);
    }

    /// A file cut off anywhere is read up to the last whole frame.
    #[test]
    fn a_file_cut_off_is_read_up_to_there(frames in frames(), part in 0.0..1.0_f64) {
        let whole = file(&frames);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in the file")]
        let length = (HEAD.len() + ((whole.len() - HEAD.len()) as f64 * part) as usize).min(whole.len());
        let (found, ending) = read(&whole[..length]);
        prop_assert!(found.len() <= frames.len());
        prop_assert_eq!(&found[..], &frames[..found.len()]);
        prop_assert!(matches!(ending, Ok(Ending::Abrupt | Ending::CutOff(_))), "{:?}", ending);
    }

    /// A flipped bit is never taken for evidence: the frames before it are read, and no other.
    #[test]
    fn a_flipped_bit_is_found(frames in frames(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut damaged = file(&frames);
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        let (found, ending) = read(&damaged);
        prop_assert!(found.len() < frames.len());
        prop_assert_eq!(&found[..], &frames[..found.len()]);
        prop_assert!(matches!(ending, Err(Damage::Nonsense { .. }) | Ok(Ending::CutOff(_))), "{:?}", ending);
        assert_sane(&damaged);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(noise in vec(any::<u8>(), 0..2_000)) {
        assert_sane(&noise);
        let mut bytes = HEAD.to_vec();
        bytes.extend_from_slice(&noise);
        assert_sane(&bytes);
    }

    /// Noise behind a sound checksum reaches what the others do not.
    #[test]
    fn arbitrary_frames_do_no_harm(noise in vec(vec(any::<u8>(), 1..200), 0..20), sound in frames()) {
        let mut bytes = file(sound.strip_suffix(&[Frame::End]).unwrap_or(&sound));
        for content in noise {
            bytes::put(&mut bytes, content.len() as u64);
            bytes.extend_from_slice(&content);
            bytes.extend_from_slice(&crc32fast::hash(&content).to_le_bytes());
        }
        assert_sane(&bytes);
    }
}

#[test]
fn complaints_name_the_place() {
    let said = |bytes: &[u8]| read(bytes).1.expect_err("it is refused").to_string();
    assert_eq!(
        said(b"hello, world"),
        "byte 0: this is no recording of shedder: it does not begin with SHEDREC"
    );
    assert_eq!(
        said(b"SHEDREC\x02"),
        "byte 0: the recording has format 2, and this version reads format 1: use a newer shedder"
    );
    let mut unnamed = HEAD.to_vec();
    encode(&Frame::Gone(0), &mut unnamed);
    assert_eq!(said(&unnamed), "byte 8: the first frame does not say who recorded");
    let start = Start { wall_ms: 0, tick_ms: 100, version: String::new() };
    let stray = file(&[Frame::Start(start), Frame::Gone(0)]);
    assert_eq!(said(&stray), "byte 17: a cell was never named");
}

/// One with very much to tell is told in several frames, each within the limit.
#[test]
fn a_second_of_many_cells_is_split() {
    let start = Start { wall_ms: 0, tick_ms: 100, version: String::new() };
    let mut second = Second::default();
    second.sample.connect = (0..192).map(|bucket| (bucket, u32::MAX)).collect();
    let cells: Vec<(u32, Second)> = (0..300).map(|cell| (cell, second.clone())).collect();
    let mut frames = vec![Frame::Start(start)];
    frames.extend((0..300).map(|number| Frame::Cell(name(number))));
    frames.push(Frame::Second { second: 1, cells: cells.clone() });
    let (found, ending) = read(&file(&frames));
    assert_eq!(ending.expect("it is sound"), Ending::Abrupt);
    let told = found.into_iter().filter_map(|frame| {
        if let Frame::Second { second: 1, cells } = frame { Some(cells) } else { None }
    });
    let told: Vec<Vec<(u32, Second)>> = told.collect();
    assert!(told.len() > 1);
    assert_eq!(told.concat(), cells);
}

/// A daemon that comes back goes on after the other one, wherever its clock stands.
#[test]
fn a_restart_comes_after_what_was() {
    let start = |wall_ms| Frame::Start(Start { wall_ms, tick_ms: 100, version: String::new() });
    let second = |second| Frame::Second { second, cells: Vec::new() };
    let base = |wall_ms| {
        let bytes = file(&[start(50_000), second(7), start(wall_ms), second(0)]);
        let mut reader = Reader::new(&bytes[..]).expect("it is one");
        while reader.read().expect("it is sound").is_some() {}
        reader.base()
    };
    assert_eq!([base(60_000), base(50_000), base(1_000)], [10, 8, 8]);
}

/// Cases of each property; `SHEDDER_FUZZ_CASES` asks for more.
pub(crate) fn cases() -> u32 {
    let asked = std::env::var("SHEDDER_FUZZ_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(256)
}
