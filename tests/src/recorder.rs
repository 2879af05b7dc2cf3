//! A real `shedder record`.
//!
//! Invariant: it is ended with its value, at the latest.
#![expect(unsafe_code, reason = "signals")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::now;
use crate::daemon::command;

/// A running recording.
#[derive(Debug)]
pub struct Recorder {
    process: Option<Child>,
    file: PathBuf,
}

impl Recorder {
    /// Records what the daemon at `socket` tells into `file`, and waits until it has begun.
    pub fn start(socket: &Path, file: &Path, arguments: &[&str]) -> Result<Self> {
        let path = file.display().to_string();
        let arguments = [&["record", &path][..], arguments].concat();
        let mut client = command(&arguments, socket)?;
        let process = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let recorder = Self { process: Some(process), file: file.to_owned() };
        recorder.wait_for_bytes(1)?;
        Ok(recorder)
    }

    /// Waits until there are so many bytes more in the file.
    pub fn wait_for_bytes(&self, more: u64) -> Result<()> {
        let length = || fs::metadata(&self.file).map_or(0, |metadata| metadata.len());
        let (wanted, deadline) = (length() + more, now() + PATIENCE);
        while length() < wanted {
            if now() > deadline {
                bail!("{} does not grow", self.file.display());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it as Ctrl-C does; what it said.
    pub fn stop(mut self) -> Result<String> {
        self.signal(libc::SIGINT);
        self.wait()
    }

    /// Waits until it ends by itself; what it said.
    pub fn wait(&mut self) -> Result<String> {
        let Some(process) = self.process.take() else { bail!("it has been waited for") };
        let output = process.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("the recording failed: {complaint}");
        }
        Ok(said + &complaint)
    }

    fn signal(&self, signal: i32) {
        let Some(process) = &self.process else { return };
        let pid = i32::try_from(process.id()).expect("a process number");
        // SAFETY: a signal to a process this value started and has not reaped.
        unsafe {
            libc::kill(pid, signal);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Longer than anything takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
