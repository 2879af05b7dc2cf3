//! The errors a refused `connect()` may return.
//!
//! Left out on purpose: `EAGAIN`, `EINPROGRESS` and `ECONNABORTED`, which `io_uring` takes for
//! "still in progress" and retries, up to 129 times a connect.

/// An error number that every client understands as "this connect failed".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Errno {
    /// `EPERM`
    NotPermitted = 1,
    /// `EACCES`
    AccessDenied = 13,
    /// `ENETDOWN`
    NetworkDown = 100,
    /// `ENETUNREACH`
    NetworkUnreachable = 101,
    /// `ETIMEDOUT`
    TimedOut = 110,
    /// `ECONNREFUSED`: the default, because client libraries treat it as "try another endpoint".
    #[default]
    ConnectionRefused = 111,
    /// `EHOSTUNREACH`
    HostUnreachable = 113,
}

impl Errno {
    /// Every allowed value.
    pub const ALL: [Self; 7] = [
        Self::ConnectionRefused,
        Self::HostUnreachable,
        Self::TimedOut,
        Self::NetworkUnreachable,
        Self::NotPermitted,
        Self::AccessDenied,
        Self::NetworkDown,
    ];

    /// The symbol of the C header, such as `ECONNREFUSED`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotPermitted => "EPERM",
            Self::AccessDenied => "EACCES",
            Self::NetworkDown => "ENETDOWN",
            Self::NetworkUnreachable => "ENETUNREACH",
            Self::TimedOut => "ETIMEDOUT",
            Self::ConnectionRefused => "ECONNREFUSED",
            Self::HostUnreachable => "EHOSTUNREACH",
        }
    }

    /// The allowed error called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|errno| errno.name() == name)
    }
}
