//! What a recording consists of.
//!
//! Invariant: a frame says by its length where the next one begins, so a reader passes over kinds it
//! does not know.

use std::net::SocketAddr;

use super::bytes::{Bytes, put, put_text};
use super::reader::Problem;
use super::second::Second;
use crate::engine::State;

/// One entry of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A daemon tells from here on. Cells and seconds are counted anew.
    Start(Start),
    /// The next cell: the first of a start has number 0, and so on.
    Cell(Name),
    /// What was seen within a second; of a second with very much there are several.
    Second {
        /// Seconds since the start.
        second: u64,
        /// The cells of which something was seen, by their numbers, in rising order.
        cells: Vec<(u32, Second)>,
    },
    /// The daemon's own breaker changed state.
    Change(Change),
    /// The daemon has forgotten a cell.
    Gone(u32),
    /// So many seconds are missing, because they were not taken away in time.
    Lost(u64),
    /// The recording was ended in good order.
    End,
    /// A kind that a newer version writes.
    Unknown(u8),
}

/// Which daemon tells, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Milliseconds since 1970.
    pub wall_ms: u64,
    /// Milliseconds between two looks.
    pub tick_ms: u64,
    /// The daemon's version.
    pub version: String,
}

/// What a cell stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Who calls.
    pub caller: String,
    /// What is called.
    pub service: String,
    /// Where.
    pub endpoint: SocketAddr,
    /// The network namespace, where the policy tells endpoints apart by it.
    pub network: Option<String>,
    /// The policy in force.
    pub policy: String,
    /// Whether it only observes.
    pub observes: bool,
}

/// What the daemon's own breaker did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub cell: u32,
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// From this state; of a policy that observes, what it would be.
    pub from: State,
    /// To this one.
    pub to: State,
    /// The rule or the kind of cause.
    pub cause: String,
    /// The whole sentence.
    pub why: String,
}

/// Appends a frame: its length, its content, its checksum.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let mut content = Vec::new();
    match frame {
        Frame::Start(Start { wall_ms, tick_ms, version }) => {
            content.push(START);
            put(&mut content, *wall_ms);
            put(&mut content, *tick_ms);
            put_text(&mut content, version);
        }
        Frame::Cell(name) => {
            content.push(CELL);
            put_name(&mut content, name);
        }
        Frame::Second { second, cells } => {
            content = begin_second(*second);
            for (cell, evidence) in cells {
                put(&mut content, u64::from(*cell));
                evidence.encode(&mut content);
                if content.len() >= ENOUGH_BYTES {
                    close(&content, out);
                    content = begin_second(*second);
                }
            }
        }
        Frame::Change(Change { cell, at_ms, from, to, cause, why }) => {
            content.push(CHANGE);
            put(&mut content, u64::from(*cell));
            put(&mut content, *at_ms);
            content.extend([number(*from), number(*to)]);
            put_text(&mut content, cause);
            put_text(&mut content, why);
        }
        Frame::Gone(cell) => {
            content.push(GONE);
            put(&mut content, u64::from(*cell));
        }
        Frame::Lost(seconds) => {
            content.push(LOST);
            put(&mut content, *seconds);
        }
        Frame::End => content.push(END),
        Frame::Unknown(kind) => content.push(*kind),
    }
    close(&content, out);
}

/// Reads the content of a frame.
pub(super) fn decode(content: &[u8]) -> Result<Frame, Problem> {
    let mut bytes = Bytes(content);
    let frame = match bytes.byte()? {
        START => Frame::Start(Start {
            wall_ms: bytes.number()?,
            tick_ms: bytes.number()?,
            version: bytes.text()?,
        }),
        CELL => Frame::Cell(name(&mut bytes)?),
        SECOND => {
            let second = bytes.number()?;
            let mut cells: Vec<(u32, Second)> = Vec::new();
            while !bytes.is_empty() {
                let number = cell(&mut bytes)?;
                if cells.last().is_some_and(|(last, _)| *last >= number) {
                    return Err(Problem::Order);
                }
                cells.push((number, Second::decode(&mut bytes)?));
            }
            Frame::Second { second, cells }
        }
        CHANGE => Frame::Change(Change {
            cell: cell(&mut bytes)?,
            at_ms: bytes.number()?,
            from: state(&mut bytes)?,
            to: state(&mut bytes)?,
            cause: bytes.text()?,
            why: bytes.text()?,
        }),
        GONE => Frame::Gone(cell(&mut bytes)?),
        LOST => Frame::Lost(bytes.number()?),
        END => Frame::End,
        kind => return Ok(Frame::Unknown(kind)),
    };
    if bytes.is_empty() { Ok(frame) } else { Err(Problem::Long) }
}

fn begin_second(second: u64) -> Vec<u8> {
    let mut content = vec![SECOND];
    put(&mut content, second);
    content
}

fn close(content: &[u8], out: &mut Vec<u8>) {
    put(out, content.len() as u64);
    out.extend_from_slice(content);
    out.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &Name) {
    put_text(out, &name.caller);
    put_text(out, &name.service);
    put_text(out, &name.endpoint.to_string());
    put_text(out, name.network.as_deref().unwrap_or_default());
    put_text(out, &name.policy);
    out.push(name.observes.into());
}

fn name(bytes: &mut Bytes<'_>) -> Result<Name, Problem> {
    Ok(Name {
        caller: bytes.text()?,
        service: bytes.text()?,
        endpoint: bytes.text()?.parse().map_err(|_no_address| Problem::Endpoint)?,
        network: Some(bytes.text()?).filter(|network| !network.is_empty()),
        policy: bytes.text()?,
        observes: bytes.byte()? != 0,
    })
}

fn cell(bytes: &mut Bytes<'_>) -> Result<u32, Problem> {
    u32::try_from(bytes.number()?).map_err(|_too_great| Problem::Number)
}

fn state(bytes: &mut Bytes<'_>) -> Result<State, Problem> {
    State::ALL.get(usize::from(bytes.byte()?)).copied().ok_or(Problem::State)
}

fn number(state: State) -> u8 {
    let place = State::ALL.iter().position(|other| *other == state);
    place.and_then(|place| u8::try_from(place).ok()).expect("every state is among all")
}

const START: u8 = 1;
const CELL: u8 = 2;
const SECOND: u8 = 3;
const CHANGE: u8 = 4;
const GONE: u8 = 5;
const LOST: u8 = 6;
const END: u8 = 7;
/// A frame with so much is closed: with one cell more it is still shorter than a reader takes.
const ENOUGH_BYTES: usize = 64 * 1024;
