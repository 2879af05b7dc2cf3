//! The machine a figure belongs to, and the CPUs it is measured on.
//!
//! Invariant: a figure is never printed without its kernel, CPU and load.
#![expect(
    unsafe_code,
    reason = "CPU affinity, thread time and the heap have no wrapper in the standard library"
)]

use std::fs;
use std::io;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// What a reader must know to compare a figure with another.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Machine {
    pub(super) kernel: String,
    pub(super) cpu_model: String,
    pub(super) cpus: usize,
}

impl Machine {
    pub(super) fn describe() -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
            .context("cannot read the kernel's version")?;
        let info = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        Ok(Self {
            kernel: kernel.trim().to_owned(),
            cpu_model: model(&info).unwrap_or("unknown").to_owned(),
            cpus: available_cpus()?.len(),
        })
    }
}

/// The load average over the last minute.
pub(super) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read the load average")?;
    let first = text.split(' ').next().context("the load average is empty")?;
    first.parse().context("the load average is no number")
}

/// The CPUs this process may run on, in ascending order.
pub(super) fn available_cpus() -> Result<Vec<usize>> {
    // SAFETY: all zeroes is a valid set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid for the size given.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    ensure!(result == 0, "cannot ask for the CPUs: {}", io::Error::last_os_error());
    let highest = usize::try_from(libc::CPU_SETSIZE).unwrap_or_default();
    // SAFETY: every number is below the size of the set.
    Ok((0..highest).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Keeps the calling thread, and the threads and processes it starts later, on one CPU.
pub(super) fn pin_to(cpu: usize) -> Result<()> {
    let highest = usize::try_from(libc::CPU_SETSIZE).unwrap_or_default();
    ensure!(cpu < highest, "there is no CPU {cpu}");
    // SAFETY: all zeroes is a valid set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is below the size of the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is valid for the size given.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    ensure!(result == 0, "cannot stay on CPU {cpu}: {}", io::Error::last_os_error());
    Ok(())
}

/// Bytes this process holds from the allocator, its own headers included.
pub(super) fn heap_bytes() -> usize {
    // SAFETY: it takes nothing and returns plain numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

fn model(info: &str) -> Option<&str> {
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_where_there_is_one() {
        assert_eq!(model("processor\t: 0\nmodel name\t: Some CPU\n"), Some("Some CPU"));
        assert_eq!(model("processor\t: 0\nCPU part\t: 0xd0c\n"), None);
    }
}
