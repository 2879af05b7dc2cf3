//! Who brought something about, for the audit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who gave an order, or what stood for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// `socket`: an order on the control socket; `signal`: SIGHUP; `file`: the policy file has changed.
    pub via: String,
    /// The user, as the kernel says. Only of an order, like all that follows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uid: Option<u32>,
    /// The process, as the kernel says, if the daemon's process namespace has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// What the process calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub process: Option<String>,
    /// The user who logged in, which `sudo` does not change, if the kernel keeps that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub login_uid: Option<u32>,
}

impl By {
    /// The policy file, which has changed.
    pub fn file() -> Self {
        Self::via("file")
    }

    /// SIGHUP.
    pub fn signal() -> Self {
        Self::via("signal")
    }

    /// A client of the control socket.
    pub fn socket(uid: u32, pid: Option<u32>) -> Self {
        Self { uid: Some(uid), pid, ..Self::via("socket") }
    }

    fn via(via: &str) -> Self {
        Self { via: via.to_owned(), uid: None, pid: None, process: None, login_uid: None }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.via.as_str(), self.uid) {
            ("file", _) => return f.write_str("a change of the file"),
            ("signal", _) => return f.write_str("SIGHUP"),
            (via, None) => return f.write_str(via),
            (_, Some(uid)) => write!(f, "user {uid}")?,
        }
        let pid = self.pid.map(|pid| format!("pid {pid}"));
        let login = self.login_uid.filter(|login| Some(*login) != self.uid);
        let login = login.map(|login| format!("logged in as user {login}"));
        let known: Vec<String> = [self.process.clone(), pid, login].into_iter().flatten().collect();
        if known.is_empty() { Ok(()) } else { write!(f, " ({})", known.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_it_was_is_said_as_far_as_it_is_known() {
        let sudo = By {
            process: Some("shedder".to_owned()),
            login_uid: Some(1000),
            ..By::socket(0, Some(7))
        };
        assert_eq!(sudo.to_string(), "user 0 (shedder, pid 7, logged in as user 1000)");
        let root = By { login_uid: Some(0), ..By::socket(0, None) };
        assert_eq!(root.to_string(), "user 0");
        assert_eq!(By::signal().to_string(), "SIGHUP");
        assert_eq!(By::file().to_string(), "a change of the file");
    }
}
