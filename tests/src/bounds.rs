//! A cgroup that bounds what the processes in it may take: memory, or how many threads they are.
//!
//! Invariant: only a cgroup made here is bounded, and it is gone when its value is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cgroup::mount_point;
use crate::clock::{now, remaining};

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Memory of processes and kernel.
    Memory,
    /// Threads.
    Threads,
}

/// A cgroup with a bound, which begins with none.
#[derive(Debug)]
pub struct Bounds {
    path: PathBuf,
    resource: Resource,
    is_unified: bool,
}

impl Bounds {
    /// Makes a cgroup where the kernel bounds this resource: in a hierarchy of its own, or in the unified one.
    pub fn new(resource: Resource) -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = mounts.lines().find_map(|line| own_hierarchy(line, resource.controller()));
        let is_unified = own.is_none();
        let parent = match own {
            Some(mount) => mount,
            None => unified(resource.controller())?,
        };
        let path = parent.join(format!("shedder-lab-bounds-{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, resource, is_unified })
    }

    /// A command that enters the cgroup and becomes the program its further arguments name.
    pub fn enter(&self) -> [String; 4] {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.path.display());
        ["sh".to_owned(), "-c".to_owned(), enter, "sh".to_owned()]
    }

    /// Leaves those inside the threads they have, or eight MiB more memory than they have.
    pub fn tighten(&self) -> Result<()> {
        let (now, bound) = match (self.resource, self.is_unified) {
            (Resource::Threads, _) => ("pids.current", "pids.max"),
            (Resource::Memory, true) => ("memory.current", "memory.max"),
            (Resource::Memory, false) => ("memory.usage_in_bytes", "memory.limit_in_bytes"),
        };
        let more = if self.resource == Resource::Memory { 8 << 20 } else { 0 };
        let taken: u64 = self.read(now)?.parse()?;
        self.write(bound, &(taken + more).to_string())
    }

    /// How many processes the kernel has ended for want of memory.
    pub fn ended(&self) -> Result<u64> {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        let text = self.read(file)?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(count.context("this kernel does not count them")?.parse()?)
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim_end().to_owned())
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.path.join(file);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

impl Drop for Bounds {
    #[expect(clippy::print_stderr, reason = "a drop has no other way to say what it left behind")]
    fn drop(&mut self) {
        let deadline = now() + PATIENCE;
        while let Err(error) = fs::remove_dir(&self.path) {
            if remaining(deadline).is_none() {
                eprintln!("{} is left behind: {error}", self.path.display());
                return;
            }
            // Nothing tells when what has ended is taken apart.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Resource {
    const fn controller(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Threads => "pids",
        }
    }
}

/// The mount point of one mountinfo line, if it is this controller's own hierarchy.
fn own_hierarchy(line: &str, controller: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    let options = file_system.strip_prefix("cgroup ")?.rsplit(' ').next()?;
    let is_it = options.split(',').any(|option| option == controller);
    is_it.then(|| mount.split(' ').nth(4).map(PathBuf::from)).flatten()
}

/// The unified hierarchy, where children of its root are bounded.
fn unified(controller: &str) -> Result<PathBuf> {
    let mount = mount_point()?;
    let control = mount.join("cgroup.subtree_control");
    if !fs::read_to_string(&control)?.split_whitespace().any(|it| it == controller) {
        let why =
            format!("the kernel does not bound {controller}: it is not in cgroup.controllers");
        fs::write(Path::new(&control), format!("+{controller}")).context(why)?;
    }
    Ok(mount)
}

const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_names_the_hierarchy_of_a_controller() {
        let line = "37 31 0:34 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";
        let found = own_hierarchy(line, "cpuacct");
        assert_eq!(found, Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(own_hierarchy(line, "memory"), None);
        let unified = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,memory";
        assert_eq!(own_hierarchy(unified, "memory"), None);
    }
}
