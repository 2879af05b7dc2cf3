//! The programs this process has loaded: what the verifier counted, how often they run, for how long.
//!
//! Invariant: the programs of other processes are never counted, whatever their names.

use std::fs;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use aya::programs::{ProgramInfo, loaded_programs};
use aya::sys::{Stats, enable_stats};

/// The programs of a loaded kernel, by hook.
#[derive(Debug)]
pub(super) struct OwnPrograms {
    /// In the order of [`HOOKS`].
    ids: Vec<u32>,
}

/// What one program did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) hook: &'static str,
    pub(super) count: u64,
    pub(super) nanoseconds: u64,
}

impl OwnPrograms {
    /// Finds them in the kernel's list.
    pub(super) fn find() -> Result<Self> {
        let own = own_program_ids()?;
        let mut named: Vec<(String, u32)> = loaded_programs()
            // Programs of others come and go while the list is read.
            .filter_map(Result::ok)
            .filter(|program| own.contains(&program.id()))
            .filter_map(|program| Some((program.name_as_str()?.to_owned(), program.id())))
            .collect();
        // The kernel cuts names to 15 bytes, so those of both IP versions look alike; they are
        // loaded in this order.
        named.sort_by_key(|(_, id)| *id);
        let ids = HOOKS.map(|(_, name)| {
            let position = named.iter().position(|(found, _)| found == name)?;
            Some(named.remove(position).1)
        });
        let ids: Option<Vec<u32>> = ids.into_iter().collect();
        Ok(Self { ids: ids.context("the loaded programs are not in the kernel's list")? })
    }

    /// Instructions the verifier went through to accept each program; none where the kernel does
    /// not tell, before 5.16.
    pub(super) fn verified_instructions(&self) -> Result<Vec<(&'static str, Option<u32>)>> {
        let counts = self.ask(ProgramInfo::verified_instruction_count)?;
        Ok(HOOKS.into_iter().zip(counts).map(|((hook, _), count)| (hook, count)).collect())
    }

    /// What every program did, on the whole node, while `work` ran. Counting costs each run of
    /// any BPF program of the node some 60 ns, of which a part is in the figures.
    pub(super) fn during(&self, work: impl FnOnce() -> Result<()>) -> Result<Vec<Runs>> {
        let counting: OwnedFd =
            enable_stats(Stats::RunTime).context("the kernel cannot count program runs")?;
        let before = self.totals()?;
        let result = work();
        let after = self.totals()?;
        drop(counting);
        result?;
        let pairs = before.into_iter().zip(after);
        Ok(HOOKS
            .into_iter()
            .zip(pairs)
            .map(|((hook, _), (before, after))| Runs {
                hook,
                count: after.0.saturating_sub(before.0),
                nanoseconds: after.1.saturating_sub(before.1),
            })
            .collect())
    }

    /// Runs and nanoseconds since the program was loaded.
    fn totals(&self) -> Result<Vec<(u64, u64)>> {
        self.ask(|program| {
            let nanoseconds = u64::try_from(program.run_time().as_nanos()).unwrap_or(u64::MAX);
            (program.run_count(), nanoseconds)
        })
    }

    /// What the kernel tells of each program, in the order of [`HOOKS`].
    fn ask<T>(&self, question: impl Fn(&ProgramInfo) -> T) -> Result<Vec<T>> {
        let mut answers: Vec<Option<T>> = self.ids.iter().map(|_| None).collect();
        for program in loaded_programs().filter_map(Result::ok) {
            if let Some(position) = self.ids.iter().position(|id| *id == program.id()) {
                answers[position] = Some(question(&program));
            }
        }
        let answers: Option<Vec<T>> = answers.into_iter().collect();
        answers.context("a program vanished from the kernel's list")
    }
}

/// The programs whose descriptors are open here.
fn own_program_ids() -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir("/proc/self/fdinfo").context("cannot list our descriptors")? {
        // The descriptor this listing uses is gone by the time it is looked at.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        if text.lines().any(|line| line.starts_with("prog_type:")) {
            let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
            ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
        }
    }
    ensure!(!ids.is_empty(), "this process has loaded no programs");
    Ok(ids)
}

/// The hooks, in the order the loader loads them, and the names the kernel shows. The clock is no
/// hook: the loader runs it.
const HOOKS: [(&str, &str); 10] = [
    ("connect6", "shedder_connect"),
    ("connect4", "shedder_connect"),
    ("sendmsg6", "shedder_sendmsg"),
    ("sendmsg4", "shedder_sendmsg"),
    ("recvmsg4", "shedder_recvmsg"),
    ("recvmsg6", "shedder_recvmsg"),
    ("sockops", "shedder_sockops"),
    ("ingress", "shedder_ingress"),
    ("egress", "shedder_egress"),
    ("clock", "shedder_clock"),
];
