//! The processes of this machine, by number or name, and the cgroup each is in.

use std::fs;

use anyhow::bail;

use crate::config::did_you_mean;

/// A process there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// What it calls itself.
    pub(super) name: String,
    /// Where it is in the cgroup2 hierarchy.
    pub(super) cgroup: String,
}

/// The process of this number, or those of this name.
pub(super) fn find(wanted: &str) -> anyhow::Result<Vec<Process>> {
    if let Ok(pid) = wanted.parse() {
        let Some(process) = read(pid) else {
            bail!("no process has the number {pid} here; `pgrep -l NAME` finds one by its name");
        };
        return Ok(vec![process]);
    }
    named(wanted, all())
}

fn named(wanted: &str, all: Vec<Process>) -> anyhow::Result<Vec<Process>> {
    // The kernel keeps fifteen bytes of a name.
    let kept = wanted.get(..KEPT_OF_A_NAME).unwrap_or(wanted);
    let (found, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|process| process.name == kept);
    if found.is_empty() {
        let hint = did_you_mean(wanted, others.iter().map(|process| process.name.as_str()));
        bail!(
            "no process is called {wanted:?} here; name it as `ps -e` does, or give its number{hint}"
        );
    }
    Ok(found)
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut all: Vec<Process> = pids.filter_map(read).collect();
    all.sort_by_key(|process| process.pid);
    all
}

/// Nothing if it has ended.
fn read(pid: u32) -> Option<Process> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
    Some(Process { pid, name, cgroup })
}

const KEPT_OF_A_NAME: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, name: &str) -> Process {
        Process { pid, name: name.to_owned(), cgroup: "/a".to_owned() }
    }

    #[test]
    fn a_number_is_a_process_and_so_is_a_name() {
        let own = std::process::id();
        let by_number = find(&own.to_string()).expect("it runs");
        assert_eq!(by_number[0].pid, own);
        assert!(find(&by_number[0].name).expect("so it is called").contains(&by_number[0]));
        let error = find("4294967295").expect_err("there is none").to_string();
        assert!(error.starts_with("no process has the number 4294967295"), "{error}");
    }

    #[test]
    fn a_name_is_as_long_as_the_kernel_keeps_it() {
        let all = vec![process(1, "a-very-long-nam"), process(2, "nginx"), process(3, "nginx")];
        let pids = |name: &str| -> Vec<u32> {
            let found = named(name, all.clone()).expect(name);
            found.into_iter().map(|process| process.pid).collect()
        };
        assert_eq!(pids("a-very-long-name-indeed"), [1]);
        assert_eq!(pids("nginx"), [2, 3]);
        let error = named("ngnix", all).expect_err("there is none").to_string();
        assert!(error.ends_with("did you mean \"nginx\"?"), "{error}");
    }
}
