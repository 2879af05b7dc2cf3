//! Where a daemon's configuration comes from, so that it can be read again.
//!
//! Invariant: reading again never waits: what is no regular file any more is an error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError};

/// A policy file and what the command line says over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    socket: Option<PathBuf>,
    state_dir: Option<PathBuf>,
}

impl Source {
    /// The file at `path`; `socket` instead of the control socket it names.
    pub fn new(path: &Path, socket: Option<PathBuf>) -> Self {
        Self { path: path.to_owned(), socket, state_dir: None }
    }

    /// The same with the journal kept at `state_dir` instead of where the file says.
    #[must_use]
    pub fn with_state_dir(self, state_dir: Option<PathBuf>) -> Self {
        Self { state_dir, ..self }
    }

    /// What the file holds now. A pipe can be read once only.
    pub fn read(&self) -> Result<Vec<u8>, ConfigError> {
        fs::read(&self.path).map_err(|error| ConfigError::unreadable(&self.path, &error))
    }

    /// As [`Source::read`], of a regular file only.
    pub fn read_again(&self) -> Result<Vec<u8>, ConfigError> {
        let complain = |error: &io::Error| ConfigError::unreadable(&self.path, error);
        match fs::metadata(&self.path)
            .and_then(|it| it.is_file().then(|| fs::read(&self.path)).transpose())
        {
            Ok(Some(content)) => Ok(content),
            Ok(None) => Err(complain(&io::Error::other("it is no regular file"))),
            // Root may read everything, but not from behind a fence.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let hint = "a daemon reads only where the file was when it started: restart it";
                Err(complain(&io::Error::other(format!("{error}; {hint}"))))
            }
            Err(error) => Err(complain(&error)),
        }
    }

    /// Whether there is a regular file, be it by way of symbolic links.
    pub fn is_file(&self) -> Result<bool, ConfigError> {
        let metadata = fs::metadata(&self.path);
        let metadata = metadata.map_err(|error| ConfigError::unreadable(&self.path, &error))?;
        Ok(metadata.is_file())
    }

    /// Where the file is and may come to be: itself; the directory it is named in; that of what a symbolic
    /// link stands for; where the directory is such a link, the one above what it stands for. None of a pipe.
    pub fn places(&self) -> Vec<PathBuf> {
        if self.is_file() != Ok(true) {
            return Vec::new();
        }
        let named = self.path.parent().filter(|it| !it.as_os_str().is_empty());
        let named = named.unwrap_or_else(|| Path::new(".")).to_owned();
        let mut directories = Vec::new();
        if let Ok(real) = fs::canonicalize(&named)
            && std::path::absolute(&named).is_ok_and(|plain| plain != real)
        {
            directories.extend(real.parent().map(Path::to_owned));
        }
        let real = fs::canonicalize(&self.path).ok();
        directories.extend(real.as_deref().and_then(Path::parent).map(Path::to_owned));
        directories.push(named);
        // Which would be everything.
        directories.retain(|it| it != Path::new("/"));
        directories.push(self.path.clone());
        directories
    }

    /// Checks what was read.
    pub fn parse(&self, content: &[u8]) -> Result<Config, ConfigError> {
        let text = str::from_utf8(content).map_err(|error| {
            ConfigError::unreadable(&self.path, &io::Error::other(error.to_string()))
        })?;
        let mut config = Config::parse(&self.path.display().to_string(), text)?;
        if let Some(socket) = &self.socket {
            config.node.socket.clone_from(socket);
        }
        if self.state_dir.is_some() {
            config.node.state_dir.clone_from(&self.state_dir);
        }
        Ok(config)
    }

    /// A complaint about the file, or a line and column of it, from one.
    pub fn complain(&self, place: Option<(usize, usize)>, message: &str) -> String {
        let place = place.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        format!("{}{place}: {message}", self.path.display())
    }
}
