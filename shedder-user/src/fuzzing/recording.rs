//! Recordings: read to an end or to the place of the damage, and replayed as far as they can be read.

use std::io::{self, Read};
use std::sync::LazyLock;

use super::Input;
use crate::config::{Config, Preset};
use crate::recording::{Frame, HEAD, Reader, encode};
use crate::replay::{Replay, Terms, picture};

/// The first byte says whether the rest is a file, or the contents of frames to which lengths and
/// checksums are added, which no fuzzer guesses; the second how much is read at once.
pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let is_framed = input.byte() % 2 == 1;
    let chunk = usize::from(input.byte()) + 1;
    let file = if is_framed { framed(input) } else { input.rest().to_vec() };
    let frames = read(&file, chunk);
    if chunk > 1 {
        assert_eq!(frames, read(&file, usize::MAX), "how much is read at once matters");
    }
    let again = file_of(&frames);
    assert_eq!(frames, read(&again, usize::MAX), "what was read is written as something else");
    play(&file);
}

/// Each frame with two bytes of length before it.
fn framed(mut input: Input<'_>) -> Vec<u8> {
    let mut file = HEAD.to_vec();
    while !input.is_empty() {
        let length = usize::from(input.short());
        let content = input.take(length);
        put(&mut file, content.len());
        file.extend_from_slice(content);
        file.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    }
    file
}

/// Seven bits a byte, the least first.
fn put(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Every frame there is before the end or the damage.
fn read(file: &[u8], chunk: usize) -> Vec<Frame> {
    let Ok(mut reader) = Reader::new(Chunks { rest: file, chunk }) else { return Vec::new() };
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = reader.read() {
        // Of what a newer version writes only the kind is known.
        if !matches!(frame, Frame::Unknown(_)) {
            frames.push(frame);
        }
    }
    frames
}

fn file_of(frames: &[Frame]) -> Vec<u8> {
    let mut file = HEAD.to_vec();
    for frame in frames {
        encode(frame, &mut file);
    }
    file
}

fn play(file: &[u8]) {
    let Ok(mut reader) = Reader::new(file) else { return };
    let policy = Config::parse("fuzz.toml", POLICY).expect("it is good");
    let mut replay = Replay::new(vec![Terms::preset(&PRESET), Terms::file("fuzz.toml", policy)]);
    while let Ok(Some(frame)) = reader.read() {
        replay.take(frame, reader.base());
    }
    let Some(ending) = reader.ending() else { return };
    let report = replay.finish(ending);
    let drawn = picture("fuzz", &report);
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    serde_json::to_vec(&report).expect("a report has only text keys");
}

/// Gives out so many bytes at a time.
struct Chunks<'a> {
    rest: &'a [u8],
    chunk: usize,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.chunk.min(buffer.len());
        self.rest.read(&mut buffer[..count])
    }
}

static PRESET: LazyLock<Preset> =
    LazyLock::new(|| Preset::find("default").expect("there is one").clone());
const POLICY: &str = "
[[caller]]
name = \"web\"
unit = \"web.service\"

[[service]]
name = \"db\"
endpoints = [\"10.0.0.0/8:5432\", \"10.0.0.1:5000\"]

[[policy]]
caller = \"web\"
service = \"db\"
preset = \"promo-fast\"
";
