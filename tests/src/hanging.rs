//! A file that hangs: whoever opens it waits, as for a disk or a server that does not answer.
//!
//! Invariant: nobody waits for longer than the value lives. Only the one file is concerned.
#![expect(unsafe_code, reason = "these calls have no wrapper")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Whoever opens the file waits until this is dropped, this process too.
#[derive(Debug)]
pub struct Hanging {
    /// The kernel asks here whether the file may be opened, and is not answered.
    _questions: OwnedFd,
}

impl Hanging {
    /// Lets openings of `file` wait. Needs root.
    pub fn file(file: &Path) -> io::Result<Self> {
        // SAFETY: no pointer is passed; the descriptor returned is nobody else's.
        let questions = unsafe {
            let flags = libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC;
            let fd = libc::fanotify_init(flags, libc::O_RDONLY.cast_unsigned());
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let path = CString::new(file.as_os_str().as_bytes())?;
        // SAFETY: the descriptor is open and the path ends with a zero.
        let result = unsafe {
            libc::fanotify_mark(
                questions.as_raw_fd(),
                libc::FAN_MARK_ADD,
                libc::FAN_OPEN_PERM,
                libc::AT_FDCWD,
                path.as_ptr(),
            )
        };
        if result == 0 {
            Ok(Self { _questions: questions })
        } else {
            Err(io::Error::last_os_error())
        }
    }
}
