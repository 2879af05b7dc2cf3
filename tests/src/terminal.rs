//! A terminal with a program on it: a pseudo-terminal, and what its screen would show.
//!
//! Invariant: the program ends with its value, and waiting ends at what was waited for.
#![expect(unsafe_code, reason = "a controlling terminal and signals")]

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use vt100::Screen;

use crate::clock::now;

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    process: Child,
    /// Nothing once it has hung up.
    keyboard: Option<File>,
    /// Kept open, so that its settings can be read after the program has ended.
    line: OwnedFd,
    output: Receiver<Vec<u8>>,
    emulator: Emulator,
}

struct Emulator(vt100::Parser);

impl Terminal {
    /// Starts a program on a terminal of this size.
    pub fn start(mut program: Command, columns: u16, rows: u16) -> Result<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&keyboard, size)?;
        let name = ptsname(&keyboard, Vec::new())?;
        let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let line: OwnedFd = OpenOptions::new().read(true).write(true).open(path)?.into();
        program
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .stdin(line.try_clone()?)
            .stdout(line.try_clone()?)
            .stderr(line.try_clone()?);
        // SAFETY: both calls may be made between fork and exec, and touch no memory of ours.
        unsafe {
            program.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let process = program.spawn().context("the program starts")?;
        let keyboard = File::from(keyboard);
        let output = read(keyboard.try_clone()?);
        let emulator = Emulator(vt100::Parser::new(at_least_one(rows), at_least_one(columns), 0));
        Ok(Self { process, keyboard: Some(keyboard), line, output, emulator })
    }

    /// Types.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        let keyboard = self.keyboard.as_mut().context("the terminal has hung up")?;
        Ok(keyboard.write_all(keys.as_bytes())?)
    }

    /// Waits until the screen is as `wanted` says.
    pub fn wait_until(&mut self, what: &str, wanted: impl Fn(&Screen) -> bool) -> Result<()> {
        let deadline = now() + PATIENCE;
        while !wanted(self.screen()) {
            match self.output.recv_timeout(deadline.saturating_duration_since(now())) {
                Ok(bytes) => self.emulator.0.process(&bytes),
                Err(error) => bail!(
                    "waited in vain: {what} ({error}; the program: {:?})\n{}",
                    self.process.try_wait(),
                    self.screen().contents()
                ),
            }
        }
        Ok(())
    }

    /// Waits for a line that has all of these parts.
    pub fn wait_for_line(&mut self, parts: &[&str]) -> Result<()> {
        self.wait_until(&format!("a line with {parts:?}"), |screen| {
            let has_all = |line: &str| parts.iter().all(|part| line.contains(part));
            screen.contents().lines().any(has_all)
        })
    }

    /// What is on it now.
    pub fn screen(&self) -> &Screen {
        self.emulator.0.screen()
    }

    /// What `stty -a` would show.
    pub fn settings(&self) -> Result<String> {
        Ok(format!("{:?}", tcgetattr(&self.line)?))
    }

    /// Its program's process number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends the program a signal, such as `SIGTERM`.
    pub fn signal(&self, signal: i32) {
        let pid = i32::try_from(self.pid()).expect("a process number");
        // SAFETY: a signal to a process this value started and has not reaped.
        unsafe {
            libc::kill(pid, signal);
        }
    }

    /// Goes away, as a terminal does whose window is closed or whose connection is lost.
    pub fn hang_up(&mut self) {
        self.keyboard = None;
        self.signal(libc::SIGHUP);
    }

    /// Waits until the program has ended.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if now() > deadline {
                bail!("the program does not end\n{}", self.screen().contents());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.screen().contents())
    }
}

fn at_least_one(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN)
}

fn read(mut from: File) -> Receiver<Vec<u8>> {
    let (sender, output) = channel();
    thread::spawn(move || {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            match from.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(length) if sender.send(bytes[..length].to_vec()).is_err() => return,
                Ok(_) => {}
            }
        }
    });
    output
}

/// Long enough for anything that is going to happen at all, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
