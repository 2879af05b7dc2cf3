//! From bytes to frames that make sense together.
//!
//! Invariant: every frame given out names cells that were named before, and lies no earlier than the
//! one before and within [`MOST_SECONDS`](super::MOST_SECONDS).

use std::io::{self, Read};

use super::bytes::Bytes;
use super::frame::{Frame, decode};
use super::{HEAD, MOST_BYTES, MOST_SECONDS};

/// Reads a recording.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    /// Read and not yet given out, from `begin` on.
    buffer: Vec<u8>,
    begin: usize,
    /// Where `begin` lies in the source.
    offset: u64,
    is_exhausted: bool,
    ending: Option<Ending>,
    place: Option<Place>,
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In good order.
    Complete,
    /// Between two frames, without a word.
    Abrupt,
    /// In the middle of a frame, which begins at this byte.
    CutOff(u64),
}

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The source failed.
    #[error("byte {offset}: {source}")]
    Unreadable {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// What is there makes no sense.
    #[error("byte {offset}: {problem}")]
    Nonsense {
        /// Where the frame begins.
        offset: u64,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Another file.
    #[error("this is no recording of shedder: it does not begin with SHEDREC")]
    Stranger,
    /// A version this one does not know.
    #[error("the recording has format {0}, and this version reads format 1: use a newer shedder")]
    Version(u8),
    /// A frame of no or too much content.
    #[error("a frame has {0} bytes, which none has: the file is damaged")]
    Length(u64),
    /// Content and checksum differ.
    #[error("a checksum is wrong: the file is damaged")]
    Checksum,
    /// A frame ends too early.
    #[error("a frame ends within a value")]
    Short,
    /// A frame ends too late.
    #[error("a frame holds more than it should")]
    Long,
    /// A number out of bounds.
    #[error("a number is out of bounds")]
    Number,
    /// A text that is none, or too long.
    #[error("a text is too long or not UTF-8")]
    Text,
    /// An address that is none.
    #[error("an endpoint is no address and port")]
    Endpoint,
    /// A number of no state.
    #[error("there is no such state")]
    State,
    /// A field nobody knows.
    #[error("a second holds what this version does not know")]
    Mask,
    /// Buckets out of order, or beyond the last.
    #[error("a histogram has no such bucket")]
    Bucket,
    /// Cells out of order.
    #[error("the cells of a second are out of order")]
    Order,
    /// No daemon told of yet.
    #[error("the first frame does not say who recorded")]
    NoStart,
    /// A cell nobody named.
    #[error("a cell was never named")]
    Cell,
    /// Back in time, or far ahead.
    #[error("time goes back, or the recording is longer than seven days")]
    Time,
}

/// What is known at one point of a recording.
#[derive(Clone, Copy, Debug)]
struct Place {
    cells: u32,
    second: u64,
    /// When the first daemon began, in milliseconds since 1970.
    first_ms: u64,
    /// From then to when the present one did, in seconds.
    base: u64,
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    pub fn new(source: R) -> Result<Self, Damage> {
        let mut reader = Self {
            source,
            buffer: Vec::new(),
            begin: 0,
            offset: 0,
            is_exhausted: false,
            ending: None,
            place: None,
        };
        while reader.buffer.len() < HEAD.len() && !reader.is_exhausted {
            reader.fill()?;
        }
        check_head(&reader.buffer).map_err(|problem| reader.nonsense(problem))?;
        reader.pass(HEAD.len());
        Ok(reader)
    }

    /// The next frame; nothing at the end.
    pub fn read(&mut self) -> Result<Option<Frame>, Damage> {
        if self.ending.is_some() {
            return Ok(None);
        }
        loop {
            let found = split(&self.buffer[self.begin..]);
            if let Some((frame, length)) = found.map_err(|problem| self.nonsense(problem))? {
                let problem = check(&mut self.place, &frame);
                problem.map_err(|problem| self.nonsense(problem))?;
                self.pass(length);
                if frame == Frame::End {
                    self.ending = Some(Ending::Complete);
                }
                return Ok(Some(frame));
            }
            if self.is_exhausted {
                let is_between = self.begin == self.buffer.len();
                let ending = if is_between { Ending::Abrupt } else { Ending::CutOff(self.offset) };
                self.ending = Some(ending);
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// From the first start to the present one, in seconds.
    pub fn base(&self) -> u64 {
        self.place.map_or(0, |place| place.base)
    }

    /// How it ends, once there are no more frames.
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    fn fill(&mut self) -> Result<(), Damage> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let limit = CHUNK as u64;
        let read = self.source.by_ref().take(limit).read_to_end(&mut self.buffer);
        let read = read.map_err(|source| Damage::Unreadable { offset: self.offset, source })?;
        self.is_exhausted = read == 0;
        Ok(())
    }

    const fn pass(&mut self, bytes: usize) {
        self.begin += bytes;
        self.offset += bytes as u64;
    }

    const fn nonsense(&self, problem: Problem) -> Damage {
        Damage::Nonsense { offset: self.offset, problem }
    }
}

/// The first frame of `bytes` and its length; nothing when it is not there as a whole.
pub(crate) fn split(bytes: &[u8]) -> Result<Option<(Frame, usize)>, Problem> {
    let mut rest = Bytes(bytes);
    let length = match rest.number() {
        Ok(length) => length,
        Err(Problem::Short) => return Ok(None),
        Err(problem) => return Err(problem),
    };
    let content = usize::try_from(length).ok().filter(|it| (1..=MOST_BYTES).contains(it));
    let content = content.ok_or(Problem::Length(length))?;
    let Some((content, rest)) = rest.0.split_at_checked(content) else { return Ok(None) };
    let Some((sum, rest)) = rest.split_first_chunk() else { return Ok(None) };
    if crc32fast::hash(content) != u32::from_le_bytes(*sum) {
        return Err(Problem::Checksum);
    }
    Ok(Some((decode(content)?, bytes.len() - rest.len())))
}

/// Whether `bytes` begin as a recording does that this version reads.
pub(crate) fn check_head(bytes: &[u8]) -> Result<(), Problem> {
    let head = bytes.first_chunk::<{ HEAD.len() }>().ok_or(Problem::Stranger)?;
    if head[..7] != HEAD[..7] {
        return Err(Problem::Stranger);
    }
    if head[7] == HEAD[7] { Ok(()) } else { Err(Problem::Version(head[7])) }
}

fn check(place: &mut Option<Place>, frame: &Frame) -> Result<(), Problem> {
    if let Frame::Start(start) = frame {
        let first_ms = place.map_or(start.wall_ms, |place| place.first_ms);
        // Wherever the clock was set meanwhile, one daemon comes after the other.
        let least = place.map_or(0, |place| place.base + place.second + 1);
        let base = (start.wall_ms.saturating_sub(first_ms) / 1000).max(least);
        let mut next = Place { cells: 0, second: 0, first_ms, base };
        next.advance(0)?;
        *place = Some(next);
        return Ok(());
    }
    let place = place.as_mut().ok_or(Problem::NoStart)?;
    let is_known = |cell: u32| if cell < place.cells { Ok(()) } else { Err(Problem::Cell) };
    match frame {
        Frame::Start(_) | Frame::Lost(_) | Frame::End | Frame::Unknown(_) => Ok(()),
        Frame::Cell(_) => {
            place.cells = place.cells.checked_add(1).ok_or(Problem::Cell)?;
            Ok(())
        }
        Frame::Second { second, cells } => {
            cells.last().map_or(Ok(()), |(last, _)| is_known(*last))?;
            place.advance(*second)
        }
        Frame::Change(change) => {
            is_known(change.cell)?;
            place.advance(place.second.max(change.at_ms / 1000))
        }
        Frame::Gone(cell) => is_known(*cell),
    }
}

impl Place {
    const fn advance(&mut self, second: u64) -> Result<(), Problem> {
        let is_back = second < self.second;
        self.second = second;
        if is_back || self.base.saturating_add(second) > MOST_SECONDS {
            return Err(Problem::Time);
        }
        Ok(())
    }
}

const CHUNK: usize = 64 * 1024;
