//! The file `shedder record` writes and `shedder replay` reads: what the engine was shown of each
//! cell, second by second. `docs/recording.md` describes it byte by byte.
//!
//! Invariant: whatever bytes a reader is given, it ends with frames or with an error that names the
//! place, and holds no more in memory than one frame.

mod bytes;
mod frame;
mod reader;
mod second;

#[cfg(test)]
pub(crate) mod tests;

pub use self::frame::{Change, Frame, Name, Start, encode};
pub use self::reader::{Damage, Ending, Problem, Reader};
pub(crate) use self::reader::{check_head, split};
pub use self::second::Second;

/// What every recording begins with: a name and the version of the format.
pub const HEAD: [u8; 8] = *b"SHEDREC\x01";
/// The longest a recording may last, restarts and gaps included.
pub const MOST_SECONDS: u64 = 7 * 24 * 3600;
/// The longest a frame may be, without its length and its checksum.
pub const MOST_BYTES: usize = 256 * 1024;
