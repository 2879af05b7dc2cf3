//! Many processes that do the same at the same moment.
//!
//! Invariant: nobody begins before all are waiting at the barrier, and none outlives the storm.
#![expect(unsafe_code, reason = "a storm is made of forks")]

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Forks `processes` processes which do `work` once each, at once; their reports, in the order in
/// which they ended. The calling process must have one thread only. A report is a line shorter
/// than a page.
pub(super) fn storm<T: Serialize + DeserializeOwned>(
    processes: u32,
    work: impl Fn() -> io::Result<T>,
) -> Result<Vec<T>> {
    let (barrier, closed_to_start) = pipe()?;
    let (ready, ready_sign) = pipe()?;
    let (reports, report_to) = pipe()?;
    let mut children = Vec::new();
    for _ in 0..processes {
        // SAFETY: this process has one thread, so the child inherits no lock held by another.
        match unsafe { libc::fork() } {
            0 => {
                drop(closed_to_start);
                let result = take_part(&barrier, &ready_sign, &report_to, &work);
                // SAFETY: ends the child at once, without the buffers and exit handlers that
                // belong to the parent.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
            pid if pid > 0 => children.push(pid),
            _ => {
                let error = io::Error::last_os_error();
                end(&children);
                return Err(error).context("cannot fork for a storm");
            }
        }
    }
    drop((barrier, ready_sign, report_to));
    let results = wait_for_all(ready, processes).and_then(|()| {
        drop(closed_to_start);
        collect(reports)
    });
    // Only after a failure is there still a process to end.
    end(&children);
    let results = results?;
    let reported = results.len();
    ensure!(
        u32::try_from(reported).is_ok_and(|reported| reported == processes),
        "only {reported} of {processes} processes of a storm reported"
    );
    Ok(results)
}

/// The life of one child.
fn take_part<T: Serialize>(
    mut barrier: &PipeReader,
    mut ready_sign: &PipeWriter,
    mut report_to: &PipeWriter,
    work: &impl Fn() -> io::Result<T>,
) -> Result<()> {
    // SAFETY: no pointer is passed. The parent's only thread has started this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    ready_sign.write_all(b".")?;
    // Ends when the parent closes the other end.
    let waited = barrier.read(&mut [0])?;
    ensure!(waited == 0, "the barrier must be closed, not written to");
    let mut line = serde_json::to_string(&work()?)?;
    line.push('\n');
    // One write below the pipe's atomic size, so that reports do not mix.
    report_to.write_all(line.as_bytes())?;
    Ok(())
}

fn wait_for_all(mut ready: PipeReader, processes: u32) -> Result<()> {
    let mut signs = vec![0; usize::try_from(processes)?];
    ready.read_exact(&mut signs).context("a process of a storm ended before it began")
}

fn collect<T: DeserializeOwned>(reports: PipeReader) -> Result<Vec<T>> {
    let lines = BufReader::new(reports).lines();
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

/// Ends and waits for every child.
fn end(children: &[libc::pid_t]) {
    for pid in children {
        // SAFETY: no pointer is passed; the process is a child not yet waited for.
        unsafe { libc::kill(*pid, libc::SIGKILL) };
        // SAFETY: a null status is allowed; the process is a child not yet waited for.
        unsafe { libc::waitpid(*pid, std::ptr::null_mut(), 0) };
    }
}
