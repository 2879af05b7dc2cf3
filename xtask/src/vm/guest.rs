//! One run of a guest, from boot to power-off, in view of the person.
//!
//! Invariant: the guest is gone when this returns: it ends by itself, or is ended after a silence
//! that is longer than any test.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::kernel::Kernel;
use super::outcome::Outcome;
use super::qemu::Qemu;
use crate::step;

/// Boot, show what the guest says, and read from it how the tests went.
pub(super) fn run(kernel: &Kernel, qemu: &Qemu, image: &Path, directory: &Path) -> Result<Outcome> {
    let console = directory.join(format!("{}.console", kernel.release));
    let mut command = qemu.command();
    command.args(MACHINE).arg("-kernel").arg(&kernel.program).arg("-initrd").arg(image);
    command.args(["-append", COMMAND_LINE]);
    // The first line is the kernel's, the second the tests'.
    command.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
    let mut machine = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map(Machine)
        .context("cannot start qemu")?;
    let said = machine.0.stdout.take().context("qemu has no standard output")?;
    let path = directory.join(format!("{}.log", kernel.release));
    let mut log =
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;

    let lines = lines_of(said);
    let mut outcome = Outcome::default();
    loop {
        let line = match lines.recv_timeout(SILENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => bail!(
                "the guest said nothing for {}; {} and {} have what it said before",
                step::seconds(SILENCE),
                path.display(),
                console.display()
            ),
        };
        writeln!(log, "{line}").with_context(|| format!("cannot write {}", path.display()))?;
        step::plain(&format!("{} | {line}", kernel.number));
        outcome.read(&line);
    }
    if !outcome.is_whole() {
        bail!("the guest ended before its tests did; {} says why", console.display());
    }
    Ok(outcome)
}

/// A machine that is ended with its value.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What comes, line by line, from a thread that ends with the machine.
fn lines_of(said: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A guest is some ten times as slow as this machine when it has a processor here to itself, and the
/// longest tests take half a minute.
const SILENCE: Duration = Duration::from_mins(15);

/// A processor emulated in software with all it can; nothing but memory and two serial lines.
///
/// Its clock counts instructions, one for each nanosecond, and skips what is slept: a guest that
/// waits for a processor here does not see time pass, so no timeout of a test depends on the load.
/// This is why there is one processor only: a second one does not come up on such a clock.
const MACHINE: [&str; 17] = [
    "-machine",
    "q35",
    "-accel",
    "tcg,thread=single",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "clock=vm",
    "-cpu",
    "max",
    "-m",
    "3G",
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
];

/// A panic turns the machine off. The processor's counter is that clock; and guards against other
/// tenants of a processor cost time only.
const COMMAND_LINE: &str = "console=ttyS0 loglevel=5 panic=-1 tsc=reliable mitigations=off";
