//! Programs of others on a cgroup, around it and inside it: which there are, and in which order they run.
//!
//! Invariant: it only asks.

#![expect(unsafe_code, reason = "the query of cgroups with paths is nobody's to wrap")]

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use aya::programs::loaded_programs;

use super::hook::Hook;

/// A program that is attached to a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramHere {
    /// The kernel's number of it.
    pub id: u32,
    /// What its author calls it, cut to fifteen bytes; empty if it has gone meanwhile.
    pub name: String,
}

/// Who runs at one hook for the processes of a guarded cgroup, in that order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Which hook.
    pub hook: &'static str,
    /// Paths of cgroups and their programs: those inside first, then the guarded one, then those around it.
    pub programs: Vec<(String, ProgramHere)>,
}

/// What stands in the way of attaching to a cgroup.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) cgroup: String,
    pub(super) program: ProgramHere,
    pub(super) manner: Manner,
}

/// How somebody attached a program that does not share its cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Nobody else may attach there or below.
    Exclusive,
    /// It stops running for every cgroup below that gets a program.
    Yields,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cgroup, program: ProgramHere { id, name }, manner } = self;
        let how = match manner {
            Manner::Exclusive => "is attached to be alone",
            Manner::Yields => "yields to any program below, and would no longer run",
        };
        write!(
            f,
            "program {name} (id {id}) of {cgroup} {how}; have it attached by a link or with BPF_F_ALLOW_MULTI, or guard a cgroup that is not {} {cgroup}",
            if matches!(manner, Manner::Exclusive) { "at or below" } else { "below" },
        )
    }
}

impl ProgramHere {
    /// Whether it is a shedder's.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with("shedder_")
    }
}

/// Hooks at which programs of others run beside ours for the cgroup at `path`, below `mount`.
pub fn company(mount: &Path, path: &str) -> io::Result<Vec<Company>> {
    let names = names();
    let mut places = Vec::new();
    inside(mount, path, &mut places);
    places.push(path.to_owned());
    places.extend(around(path));
    let mut all = Vec::new();
    for hook in Hook::ALL {
        let mut programs = Vec::new();
        for place in &places {
            let found = match query(&directory(mount, place), hook) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                // A cgroup may go while it is looked at, and a kernel have no such hook.
                Err(_) => continue,
            };
            programs.extend(found.ids.into_iter().map(|id| (place.clone(), program(id, &names))));
        }
        if programs.iter().any(|(_, program)| !program.is_ours()) {
            all.push(Company { hook: hook.name(), programs });
        }
    }
    Ok(all)
}

/// The first program that forbids attaching to the cgroup at `path`, or that would stop running by it.
pub(super) fn obstacle(mount: &Path, path: &str, hook: Hook) -> Option<Obstacle> {
    let places = std::iter::once(path.to_owned()).chain(around(path));
    let mut is_joined = false;
    for (distance, place) in places.enumerate() {
        let Ok(found) = query(&directory(mount, &place), hook) else { continue };
        let Some(id) = found.ids.first() else { continue };
        let manner = match found.flags {
            EXCLUSIVE => Manner::Exclusive,
            OVERRIDABLE if distance == 0 => Manner::Exclusive,
            // Where something else below runs already, it yields to that.
            OVERRIDABLE if !is_joined => Manner::Yields,
            _ => {
                is_joined = true;
                continue;
            }
        };
        return Some(Obstacle { cgroup: place, program: program(*id, &names()), manner });
    }
    None
}

/// The cgroups around one, nearest first.
fn around(path: &str) -> impl Iterator<Item = String> {
    let mut rest = path.trim_end_matches('/').to_owned();
    std::iter::from_fn(move || {
        let parent = rest.rfind('/')?;
        rest.truncate(parent);
        Some(if rest.is_empty() { "/".to_owned() } else { rest.clone() })
    })
}

/// The cgroups inside one, innermost first, as many as there is patience for.
fn inside(mount: &Path, path: &str, found: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(directory(mount, path)) else { return };
    for entry in entries.flatten() {
        if found.len() >= MOST_INSIDE {
            return;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(name) = entry.file_name().to_str()
        {
            let child = format!("{}/{name}", path.trim_end_matches('/'));
            inside(mount, &child, found);
            found.push(child);
        }
    }
}

fn directory(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

fn names() -> BTreeMap<u32, String> {
    // Programs come and go while the list is read.
    let programs = loaded_programs().filter_map(Result::ok);
    programs
        .map(|program| (program.id(), program.name_as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn program(id: u32, names: &BTreeMap<u32, String>) -> ProgramHere {
    ProgramHere { id, name: names.get(&id).cloned().unwrap_or_default() }
}

/// What is attached to a cgroup itself.
struct Found {
    ids: Vec<u32>,
    flags: u32,
}

fn query(directory: &Path, hook: Hook) -> io::Result<Found> {
    let directory = File::open(directory)?;
    let mut ids = vec![0_u32; MOST_PROGRAMS];
    let mut query = Query {
        target: directory.as_raw_fd().cast_unsigned(),
        attach_type: hook.attach_type(),
        flags: 0,
        flags_of_attaching: 0,
        ids: ids.as_mut_ptr().addr() as u64,
        programs: 64,
        padding: 0,
    };
    // SAFETY: the kernel reads and writes as many bytes, and writes as many ids, as it is told.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_QUERY, &raw mut query, size_of::<Query>()) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    ids.truncate(query.programs as usize);
    Ok(Found { ids, flags: query.flags_of_attaching })
}

/// The kernel's `struct query` of `union bpf_attr`, as far as it has always been.
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    flags: u32,
    flags_of_attaching: u32,
    ids: u64,
    programs: u32,
    padding: u32,
}

const BPF_PROG_QUERY: libc::c_long = 16;
/// Attached with none of the flags, and with `BPF_F_ALLOW_OVERRIDE`.
const EXCLUSIVE: u32 = 0;
const OVERRIDABLE: u32 = 1;
/// The kernel lets no more be attached to one cgroup.
const MOST_PROGRAMS: usize = 64;
const MOST_INSIDE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_cgroup_around_comes_first() {
        assert_eq!(around("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(around("/a").collect::<Vec<_>>(), ["/"]);
        assert_eq!(around("/").count(), 0);
    }
}
