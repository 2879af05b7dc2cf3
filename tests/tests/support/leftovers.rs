//! What a program of the lab has left on the machine.
//!
//! Invariant: it is known by the program's process number or lies in its own directory for temporary
//! files, so tests run side by side.

use std::fs;
use std::path::Path;

use shedder_tests::cgroup::mount_point;
use tempfile::TempDir;

/// Cgroups, temporary files and processes of the program `pid`, which had `directory` for its temporary
/// files.
pub(crate) fn leftovers(directory: &TempDir, pid: u32) -> Vec<String> {
    let of_program = format!("-{pid}-");
    let hierarchy = mount_point().expect("a cgroup2 hierarchy");
    let cgroups = names(&hierarchy).into_iter().filter(|name| name.contains(&of_program));
    let own = directory.path().to_string_lossy().into_owned();
    let processes = names(Path::new("/proc")).into_iter().filter(|name| {
        // Processes that end meanwhile have no command line.
        let command = fs::read(Path::new("/proc").join(name).join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&own)
    });
    cgroups.chain(names(directory.path())).chain(processes).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it can be listed").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
