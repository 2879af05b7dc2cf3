//! A cgroup of the unified hierarchy that lives as long as its value.
//!
//! Invariant: only directories this process made are ever written to, emptied or removed.
#![expect(unsafe_code, reason = "a process must enter its cgroup between fork and exec")]

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::clock::{now, remaining};
use crate::readiness::wait_for;

/// A cgroup made for one test. Dropping it ends the processes left inside, its children's
/// included, and removes it with its children.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    name: String,
}

impl Cgroup {
    /// Makes `shedder-lab-<label>-<pid>-<n>` at the root of the unified hierarchy. Fails without
    /// root, without a unified hierarchy, and for a label that is not one path component.
    pub fn new(label: &str) -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("shedder-lab-{label}-{}-{number}", std::process::id());
        Self::make(&mount_point()?, "", &name)
    }

    /// Makes a cgroup directly below this one. It may be dropped before or after its parent.
    pub fn child(&self, name: &str) -> Result<Self> {
        Self::make(&self.path, &self.name, name)
    }

    /// The absolute path of the cgroup's directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path from the root of the unified hierarchy, beginning with `/`, as
    /// `/proc/<pid>/cgroup` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number by which the kernel knows the cgroup (`bpf_get_current_cgroup_id`).
    pub fn id(&self) -> Result<u64> {
        let metadata = fs::metadata(&self.path)
            .with_context(|| format!("cannot look at cgroup {}", self.path.display()))?;
        Ok(metadata.ino())
    }

    /// Moves a running process, with all its threads, into this cgroup.
    pub fn admit(&self, pid: u32) -> Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
            .with_context(|| format!("cannot move process {pid} into cgroup {}", self.name))
    }

    /// Makes a command start inside this cgroup: the process is a member before its program is
    /// loaded, so before it can make a socket.
    pub fn start_inside(&self, command: &mut Command) -> Result<()> {
        let procs = self.path.join("cgroup.procs");
        let procs = File::options()
            .write(true)
            .open(&procs)
            .with_context(|| format!("cannot open {}", procs.display()))?;
        // SAFETY: the closure only writes two bytes to an open descriptor, which is allowed
        // between fork and exec.
        unsafe { command.pre_exec(move || (&procs).write_all(b"0\n")) };
        Ok(())
    }

    fn make(parent: &Path, parent_name: &str, name: &str) -> Result<Self> {
        ensure!(
            !name.is_empty() && name != "." && name != ".." && !name.contains('/'),
            "{name:?} cannot name a cgroup: use one path component"
        );
        let path = parent.join(name);
        fs::create_dir(&path)
            .with_context(|| format!("cannot make cgroup {}: run as root", path.display()))?;
        Ok(Self { path, name: format!("{parent_name}/{name}") })
    }

    fn dissolve(&self) -> io::Result<()> {
        let deadline = now() + DRAIN_LIMIT;
        end_processes(&self.path)?;
        wait_until_empty(&self.path, deadline)?;
        remove_tree(&self.path, deadline)
    }
}

impl Drop for Cgroup {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what it left behind")]
    fn drop(&mut self) {
        if let Err(error) = self.dissolve()
            // The parent's drop has already removed it.
            && self.path.exists()
        {
            eprintln!("cgroup {} is left behind: {error}", self.path.display());
        }
    }
}

/// Where the unified hierarchy is mounted, by `/proc/self/mountinfo`.
pub fn mount_point() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    mounts
        .lines()
        .find_map(unified_mount)
        .context("no unified cgroup hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup")
}

/// The mount point of one mountinfo line, if it is a cgroup2 file system.
fn unified_mount(line: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    if !file_system.starts_with("cgroup2 ") {
        return None;
    }
    mount.split(' ').nth(4).map(|path| PathBuf::from(path.replace("\\040", " ")))
}

fn end_processes(path: &Path) -> io::Result<()> {
    match File::options().write(true).open(path.join("cgroup.kill")) {
        Ok(mut switch) => switch.write_all(b"1"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => end_processes_singly(path),
        Err(error) => Err(error),
    }
}

/// For kernels before 5.14, which have no `cgroup.kill`.
fn end_processes_singly(path: &Path) -> io::Result<()> {
    for child in children(path)? {
        end_processes_singly(&child)?;
    }
    for pid in fs::read_to_string(path.join("cgroup.procs"))?.lines() {
        if let Ok(pid) = pid.parse::<libc::pid_t>() {
            // SAFETY: no pointer is passed; the process is a member of a cgroup we made.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    }
    Ok(())
}

/// The kernel wakes a poll of `cgroup.events` when the last process is gone.
fn wait_until_empty(path: &Path, deadline: Instant) -> io::Result<()> {
    let mut events = File::open(path.join("cgroup.events"))?;
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let Some(left) = remaining(deadline) else {
            return Err(io::Error::other("its processes do not end"));
        };
        wait_for(&events, libc::POLLPRI, Some(left))?;
    }
}

fn remove_tree(path: &Path, deadline: Instant) -> io::Result<()> {
    for child in children(path)? {
        remove_tree(&child, deadline)?;
    }
    loop {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // The kernel may still be taking apart a process that has already left, and gives
            // no event for the end of that.
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && remaining(deadline).is_some() =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

fn children(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

const DRAIN_LIMIT: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_names_the_unified_hierarchy() {
        let line = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        assert_eq!(unified_mount(line), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        let optional = "30 23 0:26 / /sys/fs/my\\040group rw shared:4 - cgroup2 none rw,nsdelegate";
        assert_eq!(unified_mount(optional), Some(PathBuf::from("/sys/fs/my group")));
        assert_eq!(unified_mount("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw"), None);
    }
}
