//! The terminal, while it is ours.
//!
//! Invariant: what was switched on is switched off again when the value is dropped and, for a program
//! that aborts, when anything panics.

use std::io::{self, IsTerminal as _, stdout};
use std::panic;

use ratatui::DefaultTerminal;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::view::View;

/// Fails, with what to use instead, where there is nothing to draw on.
pub(super) fn require_terminal() -> anyhow::Result<()> {
    anyhow::ensure!(
        stdout().is_terminal(),
        "standard output is no terminal, which `shedder top` draws on; use `shedder status`"
    );
    anyhow::ensure!(
        std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
        "this terminal cannot be drawn on (TERM is dumb); use `shedder status`"
    );
    Ok(())
}

/// The whole terminal, in raw mode, on its alternate screen.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    pub(super) fn take() -> io::Result<Self> {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            previous(info);
        }));
        Self::enter().inspect_err(|_| give_back())
    }

    /// Draws what has changed since the last time.
    pub(super) fn draw(&mut self, view: &View) -> io::Result<()> {
        self.terminal.draw(|frame| view.render(frame.buffer_mut())).map(drop)
    }

    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        Ok(Self { terminal: Terminal::new(CrosstermBackend::new(stdout()))? })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Nothing more can be done where it fails: the terminal is gone.
fn give_back() {
    drop(disable_raw_mode());
    drop(execute!(stdout(), LeaveAlternateScreen, Show));
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::Read as _;
    use std::mem::ManuallyDrop;
    use std::os::fd::OwnedFd;
    use std::process::Command;
    use std::time::Duration;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::tcgetattr;

    use super::*;
    use crate::cli::top::look::Look;

    /// The program of the test below.
    #[test]
    #[ignore = "takes the terminal it is run on and panics"]
    fn panics_on_its_screen() {
        // As where a panic aborts: nothing is dropped.
        let mut screen = ManuallyDrop::new(Screen::take().expect("a terminal"));
        let view = View::new(Look::of_terminal(), Duration::ZERO);
        screen.draw(&view).expect("it draws");
        panic!("of this test");
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("it is ours");
        unlockpt(&ours).expect("it is ours");
        let name = ptsname(&ours, Vec::new()).expect("it has a name");
        let name = name.to_str().expect("a path");
        let theirs = OpenOptions::new().read(true).write(true).open(name).expect("it opens");
        let before = format!("{:?}", tcgetattr(&theirs).expect("it is open"));
        let stdio = || OwnedFd::from(theirs.try_clone().expect("another"));
        let test = "cli::top::screen::tests::panics_on_its_screen";
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env("RUST_BACKTRACE", "0")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .expect("it starts");
        assert!(!child.wait().expect("it ends").success());
        assert_eq!(format!("{:?}", tcgetattr(&theirs).expect("it is open")), before);
        drop(theirs);
        let mut bytes = Vec::new();
        // With the other end closed, reading ends with an error after the last byte.
        drop(File::from(ours).read_to_end(&mut bytes));
        let said = String::from_utf8_lossy(&bytes);
        let place = |of: &str| said.rfind(of).unwrap_or_else(|| panic!("no {of:?} in {said:?}"));
        assert!(place("\x1b[?1049h") < place("\x1b[?1049l"), "{said:?}");
        assert!(place("\x1b[?25l") < place("\x1b[?25h"), "{said:?}");
        assert!(
            place("\x1b[?1049l") < place("of this test"),
            "the panic is told where one sees it"
        );
    }
}
