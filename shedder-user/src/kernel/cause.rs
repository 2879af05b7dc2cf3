//! What the system said, somewhere below the errors of the loader.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// The first error number in the chain of causes of `error`.
pub(super) fn errno(error: &(dyn Error + 'static)) -> Option<Errno> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Errno::from_io_error(io);
        }
        cause = error.source();
    }
    None
}
