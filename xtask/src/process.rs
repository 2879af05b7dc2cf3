//! Running other programs: shown, bounded, or for their output.
//!
//! Invariant: a command that changes anything is printed before it runs, in a form that can be
//! pasted into a shell.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::step::{self, Stopwatch};

/// Run a command in view of the person; an error says how it ended.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    step::plain(&format!("$ {}", describe(command)));
    let status = command.status().with_context(|| cannot_start(command))?;
    check(command, status)
}

/// Run a command as [`run`] does, but end it when it takes longer than `limit`.
pub(crate) fn run_bounded(command: &mut Command, limit: Duration) -> Result<()> {
    step::plain(&format!("$ {}", describe(command)));
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| cannot_start(command))?;
    let watch = Stopwatch::start();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child")? {
            return check(command, status);
        }
        if watch.elapsed() > limit {
            child.kill().context("cannot end a child that takes too long")?;
            child.wait().context("cannot wait for a child")?;
            bail!("`{}` did not finish in {}", describe(command), step::seconds(limit));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Run a command silently and return its standard output; an error shows its standard error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!("`{}` ended with {status}: {}", describe(command), last_lines(&said));
    }
    String::from_utf8(stdout).with_context(|| format!("`{}` printed no text", describe(command)))
}

/// Become another program. Returns only when that fails.
pub(crate) fn become_program(command: &mut Command) -> Result<()> {
    step::plain(&format!("$ {}", describe(command)));
    let error = command.exec();
    Err(error).with_context(|| cannot_start(command))
}

/// The cargo this program was started with, at the root of the checkout.
///
/// `cargo run` describes the package xtask in the environment; build scripts of other packages
/// must not see that, or they would run again each time cargo is called directly.
pub(crate) fn host_cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::root());
    for name in names_of_package_variables() {
        command.env_remove(name);
    }
    // A relative one counts from where the person is, not from the root.
    if env::var_os("CARGO_TARGET_DIR").is_some() {
        command.env("CARGO_TARGET_DIR", paths::target_dir());
    }
    // The daemon's build script looks in the checkout. Only when the target directory is
    // elsewhere is it told, so that a direct `cargo build` sees the same environment.
    let object = paths::bpf_object();
    if object != paths::default_bpf_object() && env::var_os(OBJECT_VARIABLE).is_none() {
        command.env(OBJECT_VARIABLE, object);
    }
    command
}

/// The environment variables by which cargo describes xtask to itself.
pub(crate) fn names_of_package_variables() -> impl Iterator<Item = OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| {
        name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        })
    })
}

/// Find a program on `PATH`, or where system tools are when `PATH` does not say so.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| is_executable(candidate))
}

/// Whether this is a file that may be executed.
pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("`{}` ended with {status}", short(command))
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", command.get_program().display())
}

/// The command as a shell would take it: what is set in its environment, program, arguments.
fn describe(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            words.push(format!("{}={}", name.display(), quoted(value)));
        }
    }
    words.push(program_name(command));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// The command without its environment, for an error's single line.
fn short(command: &Command) -> String {
    let mut words = vec![program_name(command)];
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// `cargo` for the cargo that runs us, however long its path is.
fn program_name(command: &Command) -> String {
    let program = command.get_program();
    if env::var_os("CARGO").is_some_and(|cargo| cargo == program) {
        return "cargo".to_owned();
    }
    quoted(program)
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=./:,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    if word.contains(char::is_control) {
        let escaped: String = word
            .chars()
            .map(|letter| match letter {
                '\\' | '\'' => format!("\\{letter}"),
                letter if letter.is_control() => format!("\\x{:02x}", u32::from(letter)),
                letter => letter.to_string(),
            })
            .collect();
        return format!("$'{escaped}'");
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_OF_AN_ERROR)..].join("\n")
}

/// Names the BPF object for the build script of shedder-user.
const OBJECT_VARIABLE: &str = "SHEDDER_BPF_OBJECT";
const LINES_OF_AN_ERROR: usize = 12;
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_can_be_pasted_into_a_shell() {
        let mut command = Command::new("program");
        command.env("FLAGS", "-a\x1f-b").args(["plain", "two words", "it's"]);
        assert_eq!(describe(&command), r"FLAGS=$'-a\x1f-b' program plain 'two words' 'it'\''s'");
    }

    #[test]
    fn a_command_that_takes_too_long_is_ended() {
        let error = run_bounded(Command::new("sleep").arg("60"), Duration::from_millis(100))
            .expect_err("it takes a minute");
        assert!(error.to_string().contains("did not finish"), "{error}");
    }

    #[test]
    fn a_failed_capture_shows_what_the_program_said() {
        let error = capture(Command::new("sh").args(["-c", "echo oh no >&2; exit 3"]))
            .expect_err("it exits with 3");
        assert!(error.to_string().contains("oh no"), "{error}");
    }
}
