//! Files and ports a thread may reach, by Landlock.
//!
//! Invariant: a fenced thread, and those it starts, reach nothing that is not named, whatever their user and
//! capabilities; what a kernel does not know how to keep from them it does not.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};

/// What stays within reach.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// Directories to read in, and all below them.
    pub(super) reads: Vec<PathBuf>,
    /// Directories to read, make, change and remove files in.
    pub(super) writes: Vec<PathBuf>,
    /// TCP ports to connect to; nothing for none at all.
    pub(super) connects: Vec<u16>,
}

impl Fence {
    /// Encloses the calling thread, for good.
    pub(super) fn enclose(self) -> Result<(), String> {
        match self.try_enclose() {
            Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
            Ok(RulesetStatus::NotEnforced) => Err(NO_LANDLOCK.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn try_enclose(self) -> Result<RulesetStatus, RulesetError> {
        let ports = self
            .connects
            .into_iter()
            .map(|port| Ok::<_, RulesetError>(NetPort::new(port, AccessNet::ConnectTcp)));
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::Signal)?
            .create()?
            .add_rules(path_beneath_rules(self.reads, READ))?
            .add_rules(path_beneath_rules(self.writes.iter().map(|it| existing(it)), READ | WRITE))?
            .add_rules(ports)?
            .restrict_self()?;
        Ok(status.ruleset)
    }
}

/// The directory, or the nearest above it there is, so that it can be made.
fn existing(directory: &Path) -> &Path {
    directory.ancestors().find(|it| it.is_dir()).unwrap_or(directory)
}

/// Newer kernels may know more to keep from a thread, older ones less.
const KNOWN: ABI = ABI::V7;
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// No special files, no links, nothing to execute, no removal of directories.
const WRITE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{WriteFile | RemoveFile | MakeDir | MakeReg | MakeSock | Truncate});
const NO_LANDLOCK: &str =
    "this kernel has no Landlock; Linux 5.13 has, with CONFIG_SECURITY_LANDLOCK and lsm=landlock";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn only_what_is_named_is_within_reach() {
        let base = tempfile::tempdir().expect("a directory");
        let [read, written, other] =
            ["read", "written", "other"].map(|name| base.path().join(name));
        for directory in [&read, &written, &other] {
            fs::create_dir(directory).expect("it is ours");
            fs::write(directory.join("file"), "text").expect("it is ours");
        }
        let [open, closed] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [open, closed] = [&open, &closed].map(|it| it.local_addr().expect("it is bound"));
        let unmade = written.join("unmade/state");
        let fence = Fence {
            reads: vec![read.clone()],
            writes: vec![unmade.clone()],
            connects: vec![open.port()],
        };
        let kind = |error: std::io::Error| error.kind();
        let fenced = thread::spawn(move || {
            fence.enclose().expect("this kernel has Landlock");
            assert_eq!(fs::read_to_string(read.join("file")).expect("within reach"), "text");
            let refused = fs::write(read.join("file"), "other").map_err(kind);
            assert_eq!(refused, Err(ErrorKind::PermissionDenied));
            fs::create_dir_all(&unmade).expect("within reach");
            fs::write(unmade.join("new"), "new").expect("within reach");
            fs::remove_file(unmade.join("new")).expect("within reach");
            let refused = fs::read(other.join("file")).map_err(kind);
            assert_eq!(refused, Err(ErrorKind::PermissionDenied));
            // What it starts is fenced as well.
            let child = thread::spawn(move || fs::read_dir(other).map(drop).map_err(kind));
            assert_eq!(child.join().expect("it ends"), Err(ErrorKind::PermissionDenied));
            (
                TcpStream::connect(open).map(drop).map_err(kind),
                TcpStream::connect(closed).map(drop).map_err(kind),
            )
        });
        let (named, unnamed) = fenced.join().expect("it is as it should be");
        assert_eq!((named, unnamed), (Ok(()), Err(ErrorKind::PermissionDenied)));
    }

    /// Why other network namespaces are looked for by threads outside the fence.
    #[test]
    fn from_within_nobodys_namespaces_are_seen() {
        let mut other = Command::new("sleep").arg("60").spawn().expect("it starts");
        let file = format!("/proc/{}/ns/net", other.id());
        let seen = move || fs::metadata(&file).map(drop).map_err(|error| error.kind());
        let from_outside = seen();
        let fenced = thread::spawn(move || {
            Fence { reads: vec!["/proc".into()], ..Fence::default() }.enclose().expect("Landlock");
            seen()
        });
        let fenced = fenced.join().expect("it ends");
        other.kill().and_then(|()| other.wait()).expect("it is ours");
        assert_eq!((from_outside, fenced), (Ok(()), Err(ErrorKind::PermissionDenied)));
    }
}
