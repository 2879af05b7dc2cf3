//! `shedder completions`: what makes a shell complete the words of this command line.

use std::io::{self, Write as _, stdout};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print what makes a shell complete these commands
///
/// For example: shedder completions bash > /usr/share/bash-completion/completions/shedder
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell to print it for
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self) -> Result<(), Failure> {
        write(&script(self.shell)).map_err(|error| Failure::Operation(error.into()))
    }
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "shedder", &mut script);
    script
}

fn write(script: &[u8]) -> io::Result<()> {
    stdout().write_all(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_completed_in_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).expect("text");
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{name} is missing for {shell}");
            }
        }
    }
}
