//! The control socket: HTTP and JSON on a Unix socket, and its client.
//!
//! Knows the daemon only through [`Control`]; knows no map and no policy file.

mod client;
pub mod model;
mod server;
mod socket;

pub use self::client::{Client, ClientError, Recording};
#[cfg(any(test, fuzzing))]
pub(crate) use self::server::converse_with;
pub use self::server::{Control, Follow, Operator, Refused, Selection, Subject, serve};
pub(crate) use self::server::{ask, reads, refuse, wrong_method};
pub use self::socket::{SocketError, SocketFile};
