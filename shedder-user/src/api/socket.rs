//! The socket file: who may open it, and what to do with one left behind.
//!
//! It appears under its name only when its owner and mode are right, so there is no moment in
//! which anyone else could connect.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

use crate::directory;

/// The claim to a control socket's name; dropping it removes the file.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    group: Option<u32>,
    /// Held for as long as the daemon lives.
    _lock: File,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon has it.
    #[error("another shedder ({owner}) serves {path}; stop it or choose another socket")]
    InUse {
        /// The socket.
        path: PathBuf,
        /// Its process, as far as known.
        owner: String,
    },
    /// Something else has that name.
    #[error("{0} exists and is no socket; remove it or choose another socket")]
    NotASocket(PathBuf),
    /// The group does not exist.
    #[error("there is no group {0:?}; create it with: groupadd --system {0}")]
    NoGroup(String),
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl SocketFile {
    /// Makes sure that no other daemon has `path` and that none will get it; nobody can connect
    /// yet. `group` may use the socket, besides root.
    pub fn claim(path: &Path, group: Option<&str>) -> Result<Self, SocketError> {
        let group = group.map(group_id).transpose()?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            let failed = |source| SocketError::Io { path: parent.to_owned(), source };
            directory::prepare(parent, group).map_err(failed)?;
        }
        refuse_other_files(path)?;
        let lock = lock(path)?;
        // What a dead daemon left would pass for a sign of life.
        remove(path);
        Ok(Self { path: path.to_owned(), group, _lock: lock })
    }

    /// The group that may use it, besides root.
    pub const fn group(&self) -> Option<u32> {
        self.group
    }

    /// Makes the socket, under a name nobody knows.
    pub fn listen(&self) -> Result<UnixListener, SocketError> {
        let failed = |source| SocketError::Io { path: self.path.clone(), source };
        let unfinished = with_suffix(&self.path, ".new");
        remove(&unfinished);
        let listener = UnixListener::bind(&unfinished).map_err(failed)?;
        std::os::unix::fs::chown(&unfinished, None, self.group).map_err(failed)?;
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        Ok(listener)
    }

    /// Lets clients connect: the socket's existence tells that the daemon does its work.
    pub fn appear(&self) -> Result<(), SocketError> {
        let failed = |source| SocketError::Io { path: self.path.clone(), source };
        fs::rename(with_suffix(&self.path, ".new"), &self.path).map_err(failed)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        remove(&self.path);
        remove(&with_suffix(&self.path, ".lock"));
    }
}

/// Removes a file of ours that may or may not be there.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove");
    }
}

/// Takes the lock beside the socket, which a dead daemon cannot hold.
fn lock(socket: &Path) -> Result<File, SocketError> {
    let path = with_suffix(socket, ".lock");
    let failed = |source| SocketError::Io { path: path.clone(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        // Its last owner removed it between our opening and locking it.
        Ok(()) if file.metadata().map_err(failed)?.nlink() == 0 => return lock(socket),
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            let owner = match file.read_to_string(&mut pid) {
                Ok(_) if !pid.trim().is_empty() => format!("pid {}", pid.trim()),
                _ => "pid unknown".to_owned(),
            };
            return Err(SocketError::InUse { path: socket.to_owned(), owner });
        }
        Err(error) => return Err(failed(error.into())),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}

/// Refuses a name that belongs to anything but a socket.
fn refuse_other_files(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(()),
        Ok(_) => Err(SocketError::NotASocket(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SocketError::Io { path: path.to_owned(), source }),
    }
}

fn group_id(name: &str) -> Result<u32, SocketError> {
    let path = Path::new("/etc/group");
    let groups = fs::read_to_string(path)
        .map_err(|source| SocketError::Io { path: path.to_owned(), source })?;
    groups
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        })
        .ok_or_else(|| SocketError::NoGroup(name.to_owned()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
